"""The plain step against a computation that shares none of its code but the tower."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.clip.text.attention import Sight
from rtd_adapters.training import ReferenceEngine, Towers, TrainingSettings
from rtd_adapters.training.batches import TripletStream


@pytest.fixture
def towers(searle, toy_projection, toy_backbone):
    student = copy.deepcopy(toy_backbone.tower).requires_grad_(True)
    return Towers(searle, toy_projection, toy_backbone.tower, student, Tokenizer(32, "$"))


def batch(towers, triplets, **changes):
    return TripletStream(triplets, towers.tokenizer, batch_size=6, seed=0, **changes).batch(0)


def by_hand(towers, batch, refined=True, noise_scale=0.5):
    """Objective of a batch, one text at a time, pseudo tokens set by hand into the embeddings."""
    bpe = Tokenizer(32)

    def embed(tower, text, pseudo=None):
        ids = bpe.encode([text])
        end = int(ids.argmax())
        x = tower.token_embedding(ids[:, : end + 1]).clone()
        if pseudo is not None:
            x[0, ids[0].tolist().index(259)] = pseudo
        x = x + tower.positional_embedding[: end + 1]
        x = tower.transformer(x, Sight(causal=True))
        return (tower.ln_final(x)[0, end] @ tower.text_projection).double()

    frozen, student = towers.frozen, towers.student
    generator = batch.generator()
    uniform = torch.rand(len(batch), 1, generator=generator)
    normal = torch.randn(len(batch), 32, generator=generator)
    references = torch.stack([embed(frozen, text) for text in batch.references]).float()
    pseudo = towers.projection(references + noise_scale * uniform * normal)
    queries = [
        embed(student, f"a photo of $ that {text}", pseudo[row])
        for row, text in enumerate(batch.conditioning)
    ]
    anchors = [embed(frozen, text) for text in batch.targets]
    if refined:
        queries += [embed(student, "a photo of $", token) for token in pseudo]
        anchors += [embed(frozen, text) for text in batch.references]
    queries += [embed(student, text) for text in batch.plain]
    anchors += [embed(frozen, text) for text in batch.plain]
    z = F.normalize(torch.stack([*anchors, *queries]), dim=-1)
    scores, total = z @ z.T / 0.07, 0.0
    for i in range(len(z)):
        others = torch.cat([scores[i, :i], scores[i, i + 1 :]])
        partner = (i + len(queries)) % len(z)
        total = total - scores[i, partner] + torch.logsumexp(others, 0)
    return total / len(z)


@pytest.mark.parametrize(
    ("changes", "hand"),
    [
        ({}, {}),
        ({"refined_batch": False}, {"refined": False}),
        ({"noise_scale": 0.0}, {"noise_scale": 0.0}),
        ({"keep_alignment": True}, {}),
    ],
)
def test_loss_and_gradients_equal_a_computation_by_hand(towers, toy_triplets, changes, hand):
    chosen = batch(towers, toy_triplets, keep_alignment=changes.get("keep_alignment", False))
    engine = ReferenceEngine(towers, TrainingSettings(**changes))
    loss = engine.step(chosen, lambda value: value.backward())
    found = {n: p.grad.clone() for n, p in towers.student.named_parameters()}
    towers.student.zero_grad()
    expected = by_hand(towers, chosen, **hand)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, parameter in towers.student.named_parameters():
        scale = parameter.grad.abs().max().clamp(min=1e-3)
        assert (found[name] - parameter.grad).abs().max() / scale < 1e-4, name
    assert not any(p.grad is not None for p in towers.frozen.parameters())


def test_text_concatenation_puts_the_words_in(towers, toy_triplets):
    chosen = batch(towers, toy_triplets)
    plain = ReferenceEngine(towers, TrainingSettings(concat="text")).loss(chosen)
    noisy = ReferenceEngine(towers, TrainingSettings(concat="text", noise_scale=0.0)).loss(chosen)
    assert plain == noisy, "no pseudo token, so no noise"
    assert plain != ReferenceEngine(towers, TrainingSettings()).loss(chosen)
    from rtd_adapters.training.step import text_compositions

    composed, bare = (part.queries[0].prompts for part in text_compositions(towers.method, chosen))
    assert composed[0] == f"a photo of {chosen.references[0]} that {chosen.conditioning[0]}"
    assert bare[0] == f"a photo of {chosen.references[0]}"
