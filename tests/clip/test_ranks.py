"""One rule for ties, in training and in evaluation."""

from __future__ import annotations

import torch

from rtd_adapters.clip.ranks import target_ranks
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.step import Towers
from rtd_adapters.training.validation import held_out_figures


def test_ranks_are_those_of_a_stable_sort():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 4, (200, 12), generator=generator).float()
    targets = torch.randint(0, 12, (200,), generator=generator)
    order = scores.argsort(dim=1, descending=True, stable=True)
    assert torch.equal(target_ranks(scores, targets), (order == targets[:, None]).int().argmax(1))


def test_nan_never_makes_a_rank_better():
    nan = float("nan")
    scores = torch.tensor([[0.1, nan, 0.3], [nan, 0.2, 0.3], [nan, nan, nan]])
    assert target_ranks(scores, torch.tensor([1, 1, 0])).tolist() == [2, 2, 2]


def test_anchors_that_tie_do_not_count_in_the_targets_favour(toy_backbone, searle, toy_projection):
    """A tower that gives everything one embedding finds the first caption only, not all."""
    toy_backbone.tower.text_projection.zero_()
    with torch.no_grad():
        toy_backbone.tower.text_projection[0] = 1
    toy_backbone.tower.ln_final.weight.zero_()
    toy_backbone.tower.ln_final.bias.fill_(1)
    tower = toy_backbone.tower
    towers = Towers(searle, toy_projection, tower, tower, searle.tokenizer(tower))
    captions = [f"caption {letter}" for letter in "abcdefghijklmnopqrst"]
    held_out = TripletBatch(captions, ["is red"] * 20, captions)
    recall = held_out_figures(towers, held_out)
    assert [round(recall[f"anchor_recall@{k}"]) for k in (1, 5, 10)] == [5, 25, 50]
