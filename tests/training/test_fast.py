"""The fast step computes what the reference step computes: loss and every gradient."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import TripletError
from rtd_adapters.methods.query import Composition, Query
from rtd_adapters.patch.lora import LoRASettings, insert_lora
from rtd_adapters.training import FastEngine, ReferenceEngine, Towers, TrainingSettings
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.packed_texts import embed_queries
from rtd_adapters.training.packed_tower import pack_texts
from rtd_adapters.training.packing import share_beginnings

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
    fast = step(FastEngine, towers, settings, batch)
    plain = replace(settings, chunk_size=None, checkpoint_activations=False)
    reference = step(ReferenceEngine, towers, plain, batch)
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
        {"chunk_size": 3},
        {"chunk_size": 2, "keep_alignment": True, "concat": "text"},
        {"checkpoint_activations": True},
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

    def composed(self, projection, reference, texts):
        template = self._changes.get("opening", "{}")
        composition = self._method.composed(projection, reference, texts)
        return composition.with_prompts(lambda row, prompt: template.format(prompt))

    def bare(self, projection, reference, texts=None):
        (query,) = self._method.bare(projection, reference, texts).queries
        return Composition.of(query.prompts, query.pseudo_tokens * self._changes.get("scale", 1.0))


@pytest.mark.parametrize("changes", [{"scale": 2.0}, {"opening": "look , {}"}])
def test_prompts_that_share_no_beginning_or_token_are_packed_apart(changes, towers, toy_triplets):
    changed = replace(towers, method=Changed(towers.method, **changes))
    batch = TripletStream(toy_triplets, towers.tokenizer, batch_size=5, seed=0).batch(0)
    require_same_step(changed, TrainingSettings(), batch)


def pack(texts):
    ids = Tokenizer(32, "$").encode(texts)
    return share_beginnings(ids, ids.argmax(1))


def nodes(pack):
    """How many nodes are read."""
    return len(pack.unfold.unique())


def test_a_pack_has_a_node_for_each_beginning():
    ids = Tokenizer(32, "$").encode(TEXTS)
    beginnings = {
        tuple(row[: place + 1])
        for row, end in zip(ids.tolist(), ids.argmax(1).tolist(), strict=True)
        for place in range(end + 1)
    }
    assert nodes(pack(TEXTS)) == len(beginnings)
    assert nodes(pack([*TEXTS, *TEXTS])) == len(beginnings)
    assert nodes(pack([*TEXTS, "a photo of $"])) == len(beginnings) + 1


def test_placeholders_with_tokens_of_their_own_are_not_shared(towers, monkeypatch):
    """Composed and bare prompts share up to the pseudo token where theirs is the same."""
    from rtd_adapters.training import packed_texts

    sizes = []
    monkeypatch.setattr(
        packed_texts, "pack_texts", lambda *given: sizes.append(pack_texts(*given)) or sizes[-1]
    )
    tokens = torch.randn(3, 1, 64)
    composed, bare = Query(TEXTS, tokens), Query(["a photo of $"] * 3, tokens)
    embed_queries(towers.frozen, towers.tokenizer, [composed])
    embed_queries(towers.frozen, towers.tokenizer, [composed, bare])
    embed_queries(towers.frozen, towers.tokenizer, [composed, replace(bare, pseudo_tokens=-tokens)])
    alone, shared, apart = map(nodes, sizes)
    assert shared == alone + 3  # the bare prompts' ends of text
    assert apart == shared + 3  # and their pseudo tokens


@pytest.mark.parametrize("texts", [["a dog"], ["a dog", "a dog"], ["", "a dog"], [""]])
def test_one_text_alone_and_texts_that_are_equal(texts, toy_tower):
    tokenizer = Tokenizer(32)
    with torch.no_grad():
        found = embed_queries(toy_tower, tokenizer, [Query(texts)])
        assert torch.allclose(found, toy_tower(tokenizer.encode(texts)), atol=1e-5)


def test_texts_as_long_as_the_context(toy_tower):
    tokenizer = Tokenizer(32)
    texts = ["dog " * 60, "a dog"]
    with pytest.warns(UserWarning, match="was cut"), torch.no_grad():
        found = embed_queries(toy_tower, tokenizer, [Query(texts)])
        assert torch.allclose(found, toy_tower(tokenizer.encode(texts)), atol=1e-5)


def test_several_pseudo_tokens_in_a_text(towers):
    prompts = ["a $ and $ on $", "$ and a dog", "$ and a $ with a $"]
    query = Query(prompts, torch.randn(3, 3, 64))
    ids = towers.tokenizer.encode(prompts)
    with torch.no_grad():
        found = embed_queries(towers.frozen, towers.tokenizer, [query])
        expected = towers.frozen(ids, query.pseudo_tokens, 259)
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_query_with_more_placeholders_than_tokens_is_refused(towers):
    query = Query(["a $ and $"], torch.randn(1, 1, 64))
    with pytest.raises(TripletError, match="2 placeholders"):
        embed_queries(towers.frozen, towers.tokenizer, [query])


def test_parts_with_dropout_are_dropped_alike_in_both_passes(towers, toy_triplets):
    """With dropout, a part's gradient belongs to the embeddings that its loss was taken at."""
    insert_lora(towers.student, LoRASettings(rank=4, dropout=0.5))
    towers.student.train()
    batch = TripletStream(toy_triplets, towers.tokenizer, batch_size=4, seed=0).batch(0)
    seen = []
    original = FastEngine._queries

    class Watched(FastEngine):
        def _queries(self, part, references):
            seen.append((part.first, original(self, part, references)))
            return seen[-1][1]

    step(Watched, towers, TrainingSettings(chunk_size=2), batch)
    (_, a), (_, b), (_, again_a), (_, again_b) = seen
    assert torch.equal(a, again_a)
    assert torch.equal(b, again_b)


def test_chunks_bound_what_is_in_a_pack(towers, toy_triplets, monkeypatch):
    from rtd_adapters.training import packed_texts

    sizes = []
    monkeypatch.setattr(
        packed_texts,
        "pack_texts",
        lambda tower, ids, keys: sizes.append(len(keys)) or pack_texts(tower, ids, keys),
    )
    for count in (8, 32):
        batch = TripletStream(toy_triplets, towers.tokenizer, batch_size=count, seed=0).batch(0)
        step(FastEngine, towers, TrainingSettings(chunk_size=4), batch)
        assert max(sizes) == 8, "composed and bare prompts of four triplets"
        sizes.clear()
        step(FastEngine, towers, TrainingSettings(), batch)
        assert max(sizes) >= 2 * count
        sizes.clear()


def test_a_large_matrix_is_computed_in_parts(monkeypatch):
    from rtd_adapters.training import objective

    anchors, queries = torch.randn(2, 23, 8, generator=torch.Generator().manual_seed(0)).double()
    results = []
    for held in (10_000, 7 * 46):
        monkeypatch.setattr(objective, "HELD", held)
        leaf = queries.clone().requires_grad_()
        loss = objective.nt_xent(anchors, leaf, 0.07)
        loss.backward()
        results.append((loss.detach(), leaf.grad))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-12)


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
