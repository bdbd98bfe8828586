"""The fast step computes what the reference step computes: loss and every gradient."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from rtd_adapters.methods import Query
from rtd_adapters.patch.lora import LoRASettings, insert_lora
from rtd_adapters.text import Tokenizer
from rtd_adapters.training import FastEngine, ReferenceEngine, Towers, TrainingSettings
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.packing import Rider, encode_pack, pack_texts

TEXTS = [
    "a photo of $ that is red",
    "a photo of $ that is a very large blue star",
    "a photo of $ that x",
]


@pytest.fixture
def towers(searle, toy_projection, toy_backbone):
    student = copy.deepcopy(toy_backbone.tower).requires_grad_(True)
    return Towers(searle, toy_projection, toy_backbone.tower, student, Tokenizer(32, "$"))


def step(engine, towers, settings, batch):
    """Loss, and every trained tensor's gradient, of one step."""
    towers.student.zero_grad()
    loss = engine(towers, settings).step(batch, lambda value: value.backward())
    trained = towers.student.named_parameters()
    return loss.item(), {n: p.grad.clone() for n, p in trained if p.requires_grad}


def require_same_step(towers, settings, batch):
    fast, reference = (step(e, towers, settings, batch) for e in (FastEngine, ReferenceEngine))
    assert fast[0] == pytest.approx(reference[0], rel=1e-5)
    assert fast[1].keys() == reference[1].keys()
    whole = sum(grad.square().sum() for grad in reference[1].values()).sqrt()
    for name, grad in reference[1].items():
        # A key bias has no true gradient; what is there is rounding, so it is judged by the whole.
        scale = whole if name.endswith("k_proj.bias") else grad.norm()
        assert (fast[1][name] - grad).norm() <= 1e-5 * scale, name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"refined_batch": False},
        {"noise_scale": 0.0},
        {"concat": "text"},
        {"concat": "text", "refined_batch": False},
        {"keep_alignment": True},
        {"temperature": 0.5},
    ],
)
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_loss_and_gradients_equal_the_reference_step(kind, changes, towers, toy_triplets):
    if kind == "lora":
        insert_lora(towers.student, LoRASettings(rank=4))
        for name, parameter in towers.student.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    settings = TrainingSettings(**changes)
    stream = TripletStream(
        toy_triplets, towers.tokenizer, batch_size=7, seed=0, keep_alignment=settings.keep_alignment
    )
    require_same_step(towers, settings, stream.batch(1))


def test_repeated_and_uneven_texts(towers):
    from rtd_adapters.training.batches import TripletBatch

    batch = TripletBatch(
        references=["a dog", "a dog", "a cat on a very long and winding road in the rain"],
        conditioning=["is red", "is red", "has become a whole pack of dogs that bark all night"],
        targets=["a red dog", "a red dog", "a dog"],
        noise_seed=3,
    )
    require_same_step(towers, TrainingSettings(), batch)


class Changed:
    """A method whose prompts or pseudo tokens do not allow the bare prompt to ride."""

    def __init__(self, method, **changes):
        self._method, self._changes = method, changes

    def __getattr__(self, name):
        return self._changes.get(name, getattr(self._method, name))

    def composed_query(self, projection, reference):
        query = self._method.composed_query(projection, reference)
        return replace(
            query, prompts=[self._changes.get("composed", "{}").format(p) for p in query.prompts]
        )

    def bare_query(self, projection, reference):
        query = self._method.bare_query(projection, reference)
        return Query(query.prompts, query.pseudo_tokens * self._changes.get("scale", 1.0))


@pytest.mark.parametrize("changes", [{"scale": 2.0}, {"composed": "look , {}"}])
def test_prompts_that_share_no_beginning_or_token_are_packed_apart(changes, towers, toy_triplets):
    changed = replace(towers, method=Changed(towers.method, **changes))
    batch = TripletStream(toy_triplets, towers.tokenizer, batch_size=5, seed=0).batch(0)
    require_same_step(changed, TrainingSettings(), batch)


def test_a_pack_holds_no_padding_and_shares_what_all_begin_with():
    tokenizer = Tokenizer(32, "$")
    ids = tokenizer.encode(TEXTS)
    lengths = ids.argmax(1) + 1
    pack = pack_texts(ids, keep=4)
    assert pack.prefix == 4
    assert len(pack.ids) == int(lengths.sum()) - 2 * 4
    rider = Rider(token=49407, place=5)
    assert len(pack_texts(ids, rider, keep=4).ids) == len(pack.ids) + 3


def test_one_text_alone_and_texts_that_are_equal(toy_tower):
    tokenizer = Tokenizer(32)
    for texts in (["a dog"], ["a dog", "a dog"], ["", "a dog"], [""]):
        ids = tokenizer.encode(texts)
        with torch.no_grad():
            assert torch.allclose(
                encode_pack(toy_tower, pack_texts(ids)), toy_tower(ids), atol=1e-5
            )


def test_texts_as_long_as_the_context(toy_tower):
    tokenizer = Tokenizer(32)
    with pytest.warns(UserWarning, match="was cut"):
        ids = tokenizer.encode(["dog " * 60, "a dog"])
    with torch.no_grad():
        assert torch.allclose(encode_pack(toy_tower, pack_texts(ids)), toy_tower(ids), atol=1e-5)


def test_several_pseudo_tokens_in_a_text(towers):
    ids = towers.tokenizer.encode(["a $ and $ on $", "$ and a $ with a $"])
    pseudo = torch.randn(2, 3, 64)
    pack = pack_texts(ids, keep=1)
    with torch.no_grad():
        found = encode_pack(towers.frozen, pack, pseudo.flatten(0, 1), 259)
        expected = towers.frozen(ids, pseudo, 259)
    assert torch.allclose(found, expected, atol=1e-5)


def test_fifty_steps_of_both_engines_coincide(searle, toy_projection, toy_backbone, toy_triplets):
    from rtd_adapters.patch import TextEncoderPatch
    from rtd_adapters.training import RunOptions, Trainer

    losses = {}
    for engine in ("fast", "reference"):
        settings = TrainingSettings(steps=50, batch_size=8, learning_rate=1e-4, engine=engine)
        patch = TextEncoderPatch.create("full", toy_backbone, searle)
        trainer = Trainer(
            searle, toy_projection, toy_backbone, toy_triplets, settings, RunOptions(quiet=True)
        )
        losses[engine] = torch.tensor(patch.fit(trainer).losses)
    assert losses["fast"][-5:].mean() < losses["fast"][:5].mean()
    assert (losses["fast"] - losses["reference"]).abs().max() <= 1e-4
