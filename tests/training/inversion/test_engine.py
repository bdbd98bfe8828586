"""A step of a projection's training against plain float64 loops, in parts and in processes."""

from __future__ import annotations

import copy
import math
import threading

import pytest
import torch

from rtd_adapters.compute.processes import Processes

METHODS = ("lincir", "pic2word")
RATES = {"lincir": {"noise_scale": 1.0}, "pic2word": {}}


def gradients(bench, name, **settings):
    """Loss and gradients of the first batch."""
    apparatus, engine, stream = bench(name, **RATES[name], **settings)
    loss = engine.step(stream.batch(0), lambda part, **keep: part.backward(**keep))
    return loss, {n: p.grad.clone() for n, p in apparatus.projection.named_parameters()}


def plainly(apparatus, lessons, noise_scale):
    """Every prompt alone, padded, in float64: its embedding with the pseudo token, and its
    target."""
    tower, method = copy.deepcopy(apparatus.tower).double(), apparatus.method
    projection = copy.deepcopy(apparatus.projection).double()
    generator = torch.Generator().manual_seed(lessons.seed)
    uniform = torch.rand(len(lessons), 1, generator=generator)
    normal = torch.randn(len(lessons), 32, generator=generator)
    rows = []
    for row, prompt in enumerate(lessons.prompts):
        (words,) = apparatus.source.described([lessons.places[row]])
        if not words.caption:
            target = apparatus.source._embeddings[lessons.places[row]].double()
        else:
            target = tower(apparatus.tokenizer.encode([words.caption]))[0]
        token = projection(target + noise_scale * (uniform[row] * normal[row]).double())
        count = prompt.count(method.placeholder)
        ids = apparatus.tokenizer.encode_prompts([prompt], [count])
        tokens = token.expand(1, count, -1)
        rows.append((tower(ids, tokens, apparatus.tokenizer.placeholder_id)[0], target))
    made, targets = (torch.stack(side) for side in zip(*rows, strict=True))
    return projection, made, targets


def squared_error(made, targets):
    """By LinCIR's paper: over all numbers of all rows."""
    wrong = [
        (one - other) ** 2 for one, other in zip(made.flatten(), targets.flatten(), strict=True)
    ]
    return sum(wrong) / len(wrong)


def contrast(made, targets):
    """By Pic2Word's paper: each picture among all texts, each text among all pictures."""
    unit = [[v / v.norm() for v in side] for side in (made, targets)]
    scores = [[20.0 * (text @ picture) for text in unit[0]] for picture in unit[1]]
    losses = []
    for side in (scores, list(zip(*scores, strict=True))):
        rows = [sum(s.exp() for s in row).log() - row[place] for place, row in enumerate(side)]
        losses.append(sum(rows) / len(rows))
    return sum(losses) / 2


@pytest.mark.parametrize("name", METHODS)
def test_loss_and_gradients_equal_a_plain_computation(bench, name):
    apparatus, _, stream = bench(name, **RATES[name])
    lessons = stream.batch(0)
    projection, made, targets = plainly(apparatus, lessons, RATES[name].get("noise_scale", 0.0))
    expected = (squared_error if name == "lincir" else contrast)(made, targets)
    expected.backward()
    loss, found = gradients(bench, name)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for parameter, gradient in projection.named_parameters():
        wanted = gradient.grad.float()
        assert (found[parameter] - wanted).norm() <= 1e-4 * wanted.norm(), parameter


def test_the_tower_takes_no_gradient_and_the_prompts_are_what_they_should_be(bench):
    apparatus, engine, stream = bench("lincir", noise_scale=1.0)
    lessons = stream.batch(0)
    assert len({prompt.count("$") for prompt in lessons.prompts}) > 1
    engine.step(lessons, torch.Tensor.backward)
    assert all(parameter.grad is None for parameter in apparatus.tower.parameters())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("size", [1, 5, 16])
def test_parts_give_the_gradients_of_the_whole(bench, name, size):
    loss, whole = gradients(bench, name)
    again, parts = gradients(bench, name, chunk_size=size)
    assert again.item() == pytest.approx(loss.item(), rel=1e-6)
    for parameter, wanted in whole.items():
        assert (parts[parameter] - wanted).norm() <= 1e-5 * wanted.norm(), parameter


class Together(Processes):
    """Processes that are threads: they meet in `gather`."""

    def __init__(self, rank, meeting):
        super().__init__(rank, 2)
        object.__setattr__(self, "meeting", meeting)

    def gather(self, mine, length):
        barrier, table = self.meeting
        table[self.rank] = mine.detach()
        barrier.wait(30)
        whole = torch.cat([table[0], table[1]])[:length]
        barrier.wait(30)
        return whole


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_gradients_add_up_to_those_of_one(bench, name, size):
    loss, whole = gradients(bench, name)
    meeting = (threading.Barrier(2), {})
    benches = [
        bench(name, Together(rank, meeting), chunk_size=size, **RATES[name]) for rank in range(2)
    ]
    losses = {}

    def work(rank):
        _, engine, stream = benches[rank]
        losses[rank] = engine.step(
            stream.batch(0), lambda part, **keep: part.backward(**keep)
        ).item()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert losses[0] == pytest.approx(loss.item(), rel=1e-5) == losses[1]
    for parameter, wanted in whole.items():
        found = sum(dict(b[0].projection.named_parameters())[parameter].grad for b in benches)
        assert (found - wanted).norm() <= 1e-4 * wanted.norm(), parameter


def test_noise_of_an_embeddings_own_length(bench):
    """Relative noise 1 is as long as the embedding, on the mean."""
    apparatus, _, stream = bench("lincir", noise_scale=1.0, noise="relative")
    seen = []
    build = apparatus.training.compose

    def compose(method, projection, noisy, prompts):
        seen.append(noisy)
        return build(method, projection, noisy, prompts)

    type(apparatus.training).compose, kept = staticmethod(compose), type(apparatus.training).compose
    try:
        _, engine, _ = bench("lincir", noise_scale=1.0, noise="relative")
        lessons = stream.batch(0)
        engine.step(lessons, torch.Tensor.backward)
    finally:
        type(apparatus.training).compose = kept
    plain = apparatus.source.embeddings(lessons.places, apparatus.anchors)
    ratio = (seen[0] - plain).norm(dim=1) / plain.norm(dim=1)
    assert ratio.min() > 0 and ratio.max() < 1.6
    assert not math.isclose(ratio.min().item(), ratio.max().item())
