"""Rows taken from where they lie are those that a tensor of all of them gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtd_adapters.evaluation.rows import Joined, Mapped, in_blocks, lost_rows, replaced

ROWS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
PLACES = [slice(0, 0), slice(2, 9), slice(15, 40), slice(None), [], [19, 0, 7, 7]]


@pytest.fixture
def mapped(tmp_path):
    ROWS.numpy().tofile(tmp_path / "rows")
    return Mapped(np.memmap(tmp_path / "rows", "<f4", "r", shape=(20, 3)))


@pytest.mark.parametrize("places", PLACES, ids=str)
def test_of_a_file(mapped, places):
    assert len(mapped) == 20
    found = mapped[places]
    assert torch.equal(found, ROWS[places])
    found += 1  # a copy
    assert torch.equal(mapped[:], ROWS)


@pytest.mark.parametrize("places", PLACES, ids=str)
def test_of_several_sources(mapped, places):
    other = ROWS[:5] + 100
    picked = torch.tensor([row if row % 2 else 20 + row // 4 for row in reversed(range(20))])
    whole = torch.cat([ROWS, other])[picked]
    joined = Joined([mapped, other], picked)
    assert len(joined) == 20
    assert torch.equal(joined[places], whole[places])


def test_some_replaced(mapped):
    others = torch.ones(2, 3)
    whole = ROWS.clone()
    whole[[5, 17]] = others
    found = replaced(mapped, torch.tensor([5, 17]), others)
    assert torch.equal(found[:], whole)
    assert torch.equal(replaced(found, torch.tensor([6]), others[:1])[[5, 6, 7]][:2], others)


def test_blocks_are_all_of_it_in_order(mapped):
    starts, parts = zip(*in_blocks(mapped, 7), strict=True)
    assert starts == (0, 7, 14)
    assert torch.equal(torch.cat(parts), ROWS)


def test_rows_with_any_nan_are_lost(monkeypatch):
    monkeypatch.setattr("rtd_adapters.evaluation.rows.in_blocks", lambda rows: in_blocks(rows, 7))
    rows = ROWS.clone()
    rows[6, 0], rows[7, 2], rows[19] = torch.nan, torch.nan, torch.nan
    rows[3, 1] = torch.inf
    assert lost_rows(rows) == [6, 7, 19]
