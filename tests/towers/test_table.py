"""docs/towers.md lists every family, and its table is made by what these tests run."""

from __future__ import annotations

from pathlib import Path

import pytest
from full_towers import FULL
from table import COLUMNS, header, row
from tiny_towers import TINY

from rtd_adapters.clip.text.families import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "towers.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines()]
TABLE = {cells[0]: cells for cells in ROWS if len(cells) == len(COLUMNS)}
DIFFERENCES = ("no pseudo token", "one", "three", "applied", "at strength 0.5", "reloaded")
BOUND, BOUND_IN_FP64 = 1e-5, 1e-10
FINER = 2**29
"""How much finer fp64 is than fp32. Texts of a random tower may lie so close together that much of
a gradient in fp32 is rounding: in fp64 it must be so many times smaller, or ten times less."""


@pytest.mark.parametrize("name", ["open_clip SigLIP 2", "transformers BLIP", "open_clip CLIP"])
def test_the_tables_own_code_makes_a_row_of_a_tiny_tower(name):
    found = dict(zip(COLUMNS, row(TINY[name], 4, 1, 1e-3).cells(), strict=True))
    assert found["text tower"] == name
    require_within_bounds(found)
    first, last = map(float, found["loss, 5 steps"].split(" to "))
    assert last < first
    assert float(found["moved"]) > 1e-3


def require_within_bounds(cells):
    assert cells["reverted"] == "yes"
    for column in DIFFERENCES:
        assert float(cells[column]) <= BOUND, (cells["text tower"], column)
    fine = float(cells["in fp64"])
    assert fine <= BOUND_IN_FP64
    assert float(cells["fast = reference"]) <= max(BOUND, 10 * FINER * fine)
    assert float(cells["times faster"]) > 0


def test_the_page_has_the_whole_table():
    assert header().splitlines()[0] in PAGE
    assert [name for name in TABLE if name in FULL] == list(FULL)


@pytest.mark.parametrize("name", FULL)
def test_every_row_of_the_page_is_within_the_bounds(name):
    require_within_bounds(dict(zip(COLUMNS, TABLE[name], strict=True)))


def test_the_page_names_every_family():
    for family in FAMILIES:
        assert family.name in PAGE
