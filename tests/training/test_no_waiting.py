"""A GPU is never waited for in a training step.

Tensors on torch's meta device stand for those on a GPU: they have no values, so nothing can be read
back from them, and two modes see what would be waited for: one sees operations, the other what
Python makes tensors of.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext, suppress

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rtd_adapters.methods.installed import get_method
from rtd_adapters.patch.lora import LoRASettings, insert_lora
from rtd_adapters.training import FastEngine, RunOptions, Towers, TrainingSettings
from rtd_adapters.training.acceleration import accelerated
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.late import Late
from rtd_adapters.training.loop import Loop, Task
from rtd_adapters.training.optimizer import make_optimizer
from rtd_adapters.training.reach import Reach
from rtd_adapters.training.step import StepContext

aten = torch.ops.aten
READ_BACK = {
    aten._local_scalar_dense,
    aten.is_nonzero,
    aten.equal,
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten._coalesce,
    aten.repeat_interleave,
    aten.bincount,
}
"""Operations whose result or shape the CPU waits for."""
COPIES = {aten._to_copy, aten.copy_}


MADE_OF_VALUES = {torch.tensor, torch.as_tensor, torch.Tensor.new_tensor}
INDEXED = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}


class Made(TorchFunctionMode):
    """Notes tensors that Python makes of values on the device, indices among them."""

    def __init__(self, noted):
        super().__init__()
        self._noted = noted

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        made = func in MADE_OF_VALUES and found.is_meta
        places = args[1] if func in INDEXED else ()
        places = places if isinstance(places, tuple) else (places,)
        if made or (func in INDEXED and args[0].is_meta and any(type(p) is list for p in places)):
            self._noted.append(func)
        return found


class Waits(TorchDispatchMode):
    """Notes what would be waited for."""

    def __init__(self):
        super().__init__()
        self.noted = []
        self._made = Made(self.noted)

    def __enter__(self):
        self._made.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._made.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        packet = func.overloadpacket
        if any(tensor.is_meta for tensor in given):
            masked = packet in (aten.index, aten.index_put, aten.index_put_) and any(
                index is not None and index.dtype == torch.bool for index in args[1]
            )
            if packet in READ_BACK or masked:
                self.noted.append(func)
        if packet in COPIES:
            self._note_copy(func, packet, given, args, kwargs)
        return func(*args, **kwargs)

    def _note_copy(self, func, packet, given, args, kwargs):
        if packet is aten._to_copy:
            there, waited = kwargs.get("device"), not kwargs.get("non_blocking")
            ways = (given[0].device.type, there.type if there else given[0].device.type)
        else:
            waited = not (args[2] if len(args) > 2 else kwargs.get("non_blocking"))
            ways = (given[1].device.type, given[0].device.type)
        if ways == ("meta", "cpu") or (ways == ("cpu", "meta") and waited):
            self.noted.append(func)


@pytest.mark.parametrize(
    "waiting",
    [
        lambda t: t.sum().item(),
        lambda t: bool(t.any()),
        lambda t: t.nonzero(),
        lambda t: t[t > 0],
        lambda t: t.index_put((t > 0,), t.sum()),
        lambda t: t.masked_select(t > 0),
        lambda t: torch.equal(t, t),
        lambda t: t.unique(),
        lambda t: t.cpu(),
        lambda t: torch.ones(3).to(t.device),
        lambda t: t.copy_(torch.ones(3)),
        lambda t: torch.tensor([1.0], device=t.device),
        lambda t: t.new_tensor(1.0),
        lambda t: t[[0, 1]],
    ],
)
def test_what_is_waited_for_is_seen(waiting):
    tensor = torch.empty(3, device="meta")
    with Waits() as waits, suppress(Exception):
        waiting(tensor)
    assert waits.noted


def test_what_is_not_waited_for_is_not():
    tensor = torch.empty(3, device="meta")
    with Waits() as waits:
        torch.ones(3).to("meta", non_blocking=True)
        torch.ones(3).nonzero()
        tensor.copy_(torch.ones(3), non_blocking=True)
        tensor[torch.empty(2, device="meta", dtype=torch.long)] = tensor.new_full((), 1.0)
    assert waits.noted == []


@pytest.fixture
def parts(toy_backbone, toy_triplets):
    """A run on a device: what trains, and what draws its batches."""

    def parts(device, name="searle", kind="full", **settings):
        method = get_method(name)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            projection = method.build_projection(toy_backbone.shape).eval().requires_grad_(False)
        student = copy.deepcopy(toy_backbone.tower).requires_grad_(True)
        if kind == "lora":
            insert_lora(student, LoRASettings(dropout=0.1))
        tokenizer = method.tokenizer(toy_backbone.tower)
        frozen = copy.deepcopy(toy_backbone.tower).to(device)
        student = student.train().to(device)
        towers = Towers(method, projection.to(device), frozen, student, tokenizer)
        settings = TrainingSettings(steps=4, batch_size=8, **settings)
        stream = TripletStream(
            toy_triplets,
            tokenizer,
            batch_size=8,
            seed=0,
            keep_alignment=settings.keep_alignment,
        )
        return towers, settings, stream

    return parts


def train(towers, settings, stream, device, before_step=lambda: None):
    """The loop itself, from its first step to its last."""
    options = RunOptions(quiet=True, device=device)
    with accelerated(settings, options) as accelerator:
        context = StepContext(accelerator.autocast)
        engine = FastEngine(towers, settings, context)

        def step(number, backward):
            batch = stream.batch(number)
            before_step()
            return engine.step(batch, backward)

        optimizer = make_optimizer(towers.student, settings)
        task = Task(towers.student, optimizer, step, dict, "waiting")
        return Loop(settings, options, accelerator, task, context, {}).run()


CASES = [
    {},
    {"kind": "lora"},
    {"name": "lincir"},
    {"name": "pic2word"},
    {"max_grad_norm": 1.0},
    {"chunk_size": 4},
    {"noise": "relative", "keep_alignment": True},
    {"checkpoint_activations": True},
    {"gradient_accumulation": 2},
    {"frozen_precision": "bf16"},
    {"refined_batch": False},
    {"concat": "text"},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_waited_for_from_batch_to_optimizer(parts, case, monkeypatch):
    """But for the loss of the step before, and whether all tensors were reached, which the first
    two steps ask."""
    autocast, read = torch.autocast, []
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda kind, *given, **named: (
            nullcontext() if kind == "meta" else autocast(kind, *given, **named)
        ),
    )
    monkeypatch.setattr(Late, "read", lambda self: read.append(self) or 1.0)
    monkeypatch.setattr(Reach, "check", lambda self: None)
    towers, settings, stream = parts("meta", **case)
    with Waits() as waits:
        record = train(towers, settings, stream, "cpu")
    assert waits.noted == []
    assert len(record.losses) == len(read) == 4
    assert all(p.is_meta for p in towers.student.parameters())


def test_composed_and_bare_prompts_share_their_beginnings_without_being_compared(
    parts, monkeypatch
):
    """Packs on a device are those on the CPU, where pseudo tokens can be compared; and a method
    that makes its tokens twice is not waited for either."""
    from rtd_adapters.methods.method import Method
    from rtd_adapters.training import packed_texts, packing

    monkeypatch.setattr(packing, "ROUND", 1)
    nodes, pack = {"cpu": [], "meta": [], "twice": []}, packed_texts.pack_texts
    autocast = torch.autocast
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda kind, *given, **named: (
            nullcontext() if kind == "meta" else autocast(kind, *given, **named)
        ),
    )

    def take(case, device):
        def watched(*given):
            made = pack(*given)
            nodes[case].append(len(made.places))
            return made

        monkeypatch.setattr(packed_texts, "pack_texts", watched)
        towers, settings, stream = parts(device)
        with Waits() as waits:
            FastEngine(towers, settings).step(stream.batch(0), torch.Tensor.backward)
        assert waits.noted == []

    take("cpu", "cpu")
    take("meta", "meta")
    monkeypatch.setattr(
        Method, "_tokens", lambda self, phi, ref: self.pseudo_tokens(phi, ref.embedding)
    )
    take("twice", "meta")
    assert nodes["cpu"] == nodes["meta"]
    assert nodes["cpu"][-1] < nodes["twice"][-1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks a GPU")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_gpu_is_not_waited_for(parts, case):
    towers, settings, stream = parts("cuda", **case)
    steps = []

    def strict():
        steps.append(0)
        torch.cuda.set_sync_debug_mode("error" if len(steps) > 2 else "default")

    try:
        record = train(towers, settings, stream, "cuda", strict)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(loss == loss for loss in record.losses)
