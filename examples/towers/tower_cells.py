"""The cells of the table of families: each measures one promise on one tower."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from tower_case import PLACEHOLDER, Case

from rtd_adapters import Triplet, get_method
from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import TextTower, find_tower
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.patch.lora import LoRASettings, insert_lora
from rtd_adapters.patch.text_encoder_patch import TrainablePatch
from rtd_adapters.training import (
    FastEngine,
    ReferenceEngine,
    RunOptions,
    Towers,
    Trainer,
    TrainingSettings,
)
from rtd_adapters.training.batches import TripletBatch, TripletStream
from rtd_adapters.training.optimizer import make_optimizer

STEPS = 5
SIZES = ("small", "large", "tall", "tiny")
THINGS = ("dog", "cat", "bus on a wet road at night", "cup", "star", "house by the sea")
CHANGES = ("is red", "is blue", "has two more of them beside it", "is older", "x")


def triplets(count: int = 60) -> list[Triplet]:
    """Distinct ones, of uneven length."""
    return [
        Triplet(
            f"a {SIZES[n % 4]} {THINGS[n % 6]} number {n // 3}",
            CHANGES[n % 5],
            f"one {THINGS[n % 6]} that {CHANGES[n % 5]} number {n}",
        )
        for n in range(count)
    ]


def difference(case: Case, found: Tensor, expected: Tensor) -> float:
    """The largest of all entries, in units of the largest entry; `found` is ours."""
    if case.unit:
        found = F.normalize(found, dim=-1)
    return ((found - expected).abs().max() / expected.abs().max()).item()


@torch.no_grad()
def parity(case: Case, tower: TextTower, placeholders: int = 0) -> float:
    """Our tower against the library's own forward on the same ids."""
    ids = case.ids(placeholders)
    if not placeholders:
        return difference(case, tower(ids), case.encode(ids))
    generator = torch.Generator().manual_seed(2)
    pseudo = torch.randn(len(ids), placeholders, tower.config.width, generator=generator) * 0.5
    expected = case.encode_with(ids, pseudo)
    return difference(case, tower(ids, pseudo, PLACEHOLDER), expected)


def towers_for(tower: TextTower, student: TextTower | None = None) -> Towers:
    """Those of a run with a random projection like SEARLE's; the student is a copy unless given."""
    method = get_method("searle")
    if student is None:
        student = copy.deepcopy(tower).requires_grad_(True)
    return Towers(method, projection_for(tower), tower, student, method.tokenizer(tower))


def projection_for(tower: TextTower) -> Any:
    """A random projection for it, frozen."""
    shape = BackboneShape(tower.config.embed_dim, tower.config.width, 0)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        projection = get_method("searle").build_projection(shape)
    dtype = tower.token_embedding.weight.dtype
    return projection.eval().requires_grad_(False).to(dtype)


def with_factors(towers: Towers) -> Towers:
    """The same with low-rank factors in the student, none of them zero."""
    insert_lora(towers.student, LoRASettings(rank=4))
    generator = torch.Generator().manual_seed(3)
    for name, parameter in towers.student.named_parameters():
        if "lora_B" in name:
            with torch.no_grad():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return towers


def some_batch(towers: Towers, size: int, number: int = 0) -> TripletBatch:
    """A batch of the triplets above."""
    rows = triplets(max(60, 2 * size))
    return TripletStream(rows, towers.tokenizer, batch_size=size, seed=0).batch(number)


def engine_difference(towers: Towers, settings: TrainingSettings, batch: TripletBatch) -> float:
    """The fast engine against the reference: the largest relative difference of the loss and of
    every trained tensor's gradient."""
    plain = replace(settings, chunk_size=None)
    loss, gradients = _step(ReferenceEngine, towers, plain, batch)
    quick_loss, quick = _step(FastEngine, towers, settings, batch)
    if quick.keys() != gradients.keys():
        return math.inf
    norms = {name: _norm(gradient) for name, gradient in gradients.items()}
    whole = math.hypot(*norms.values())
    found = [abs(quick_loss - loss) / loss]
    for name, gradient in gradients.items():
        # A key bias has no true gradient; what is there is rounding, so it is judged by the whole.
        scale = whole if name.endswith("k_proj.bias") else norms[name]
        apart = _norm(quick[name] - gradient)
        found.append(apart / scale if scale else (math.inf if apart else 0.0))
    return max(found)


def _norm(gradient: Tensor) -> float:
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return values.norm().item()


def _step(
    engine: Any, towers: Towers, settings: TrainingSettings, batch: TripletBatch
) -> tuple[float, dict[str, Tensor]]:
    """Loss, and every trained tensor's gradient, of one step."""
    loss = engine(towers, settings).step(batch, Tensor.backward)
    trained = {n: p for n, p in towers.student.named_parameters() if p.requires_grad}
    gradients = {name: parameter.grad for name, parameter in trained.items()}
    towers.student.zero_grad(set_to_none=True)
    return loss.item(), {
        name: gradient for name, gradient in gradients.items() if gradient is not None
    }


def trained(
    case: Case, tower: TextTower, kind: str = "full", batch_size: int = 8, rate: float = 1e-3
) -> tuple[TrainablePatch, list[float]]:
    """A patch after five steps of the real trainer, and the losses."""
    backbone = backbone_of(case, tower)
    patch = TextEncoderPatch.create(kind, backbone, get_method("searle"))
    settings = TrainingSettings(steps=STEPS, batch_size=batch_size, learning_rate=rate)
    trainer = Trainer(
        get_method("searle"),
        projection_for(tower),
        backbone,
        triplets(),
        settings,
        RunOptions(quiet=True, device="cpu"),
    )
    return patch, patch.fit(trainer).losses


def backbone_of(case: Case, tower: TextTower) -> Backbone:
    """A case as a backbone without pictures."""
    shape = BackboneShape(tower.config.embed_dim, tower.config.width, 0)
    layout = find_tower(case.model).layout
    return Backbone(case.name, "random", tower, shape, None, None, layout=layout)


@torch.no_grad()
def applied(case: Case, patch: TextEncoderPatch, strength: float = 1.0) -> float:
    """The patched model's own forward against the tower that the patch builds."""
    ids = case.ids(seed=1)
    tower = patch.build_tower(find_tower(case.model).state(), strength)
    with patch.applied(case.model, strength):
        return difference(case, tower(ids), case.encode(ids))


@torch.no_grad()
def moved(case: Case, patch: TextEncoderPatch) -> float:
    """How far the patch moves the model's own embeddings."""
    ids = case.ids(seed=1)
    before = case.encode(ids)
    with patch.applied(case.model):
        return ((case.encode(ids) - before).abs().max() / before.abs().max()).item()


def reverted(case: Case, patch: TextEncoderPatch) -> bool:
    """Whether every tensor of the model is what it was, bit for bit, once a patch is off again."""
    before = {name: tensor.clone() for name, tensor in case.model.state_dict().items()}
    patch.apply(case.model)
    changed = any(not _same_bits(before[n], t) for n, t in case.model.state_dict().items())
    patch.revert(case.model)
    after = case.model.state_dict()
    return changed and all(_same_bits(before[name], after[name]) for name in before)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """Of parts of a model that its library leaves uninitialised, some may be NaN."""
    parts = (tensor.reshape(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(*parts)


@torch.no_grad()
def reloaded(case: Case, patch: TextEncoderPatch, folder: Path) -> float:
    """The patch in the library's model, by `load_state_dict` alone, against our tower: the file, or
    where a method's repository names tensors otherwise, what the patch gives in the model's layout.

    All parameters of the model are NaN before that and most are afterwards: where the file lacked
    one that texts go through, the difference would be NaN.
    """
    path, layout = folder / "weights.safetensors", find_tower(case.model).layout
    tensors = load_file(path) if patch.save(path).layout == layout else patch.state_dict(layout)
    for parameter in case.model.parameters():
        parameter.fill_(math.nan)
    _, unexpected = case.model.load_state_dict(tensors, strict=False)
    if unexpected:
        return math.inf
    ids = case.ids(seed=1)
    return difference(case, patch.build_tower()(ids), case.encode(ids))


def seconds_per_step(tower: TextTower, batch_size: int, rounds: int) -> tuple[float, float, float]:
    """Medians of a reference step, of a fast one, and of how many times faster it is, round by
    round in turn; a first fast step is not counted.

    Both train one student with one optimiser, the fast engine's, which keeps a token table by rows.
    """
    towers = towers_for(tower)
    optimizer = make_optimizer(towers.student, TrainingSettings(batch_size=batch_size))
    engines = [
        engine(towers, TrainingSettings(batch_size=batch_size))
        for engine in (ReferenceEngine, FastEngine)
    ]
    _seconds(engines[1], some_batch(towers, batch_size), optimizer)
    times = []
    for number in range(rounds):
        batch = some_batch(towers, batch_size, number + 1)
        times.append([_seconds(engine, batch, optimizer) for engine in engines])
    slow, quick = zip(*times, strict=True)
    return median(slow), median(quick), median(a / b for a, b in zip(slow, quick, strict=True))


def _seconds(engine: Any, batch: TripletBatch, optimizer: torch.optim.Optimizer) -> float:
    started = time.perf_counter()
    engine.step(batch, Tensor.backward)
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - started
