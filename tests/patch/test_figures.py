"""Figures for the eye: per cents and cosines never share a column."""

from __future__ import annotations

from rtd_adapters.cli.tables import before_after
from rtd_adapters.patch.card import write_card
from rtd_adapters.patch.metadata import PatchMetadata

BEFORE = {"anchor_recall@1": 20.04, "caption_cosine": 1.0, "caption_recall@1": 100.0}
AFTER = {"anchor_recall@1": 31.26, "caption_cosine": 0.91234, "caption_recall@1": 97.5}


def test_a_table_for_each_unit_in_the_terminal():
    assert before_after(BEFORE, AFTER) == [
        "per cent           before    after   change",
        "anchor_recall@1      20.0     31.3    +11.2",
        "caption_recall@1    100.0     97.5     -2.5",
        "cosine             before    after   change",
        "caption_cosine      1.000    0.912   -0.088",
    ]


def test_a_table_for_each_unit_on_the_card(tmp_path):
    metadata = PatchMetadata(
        "searle", "openai", "full", "toy/random", {}, "$", "", "", {"fp32": "a"}, {"fp32": "b"},
        figures={"before": BEFORE, "after": AFTER},
    )  # fmt: skip
    write_card(tmp_path / "README.md", metadata, weights="w.safetensors", command="")
    tables = [
        part for part in (tmp_path / "README.md").read_text().split("\n\n") if part[:2] == "| "
    ]
    assert tables == [
        "| metric, per cent | before | after | difference |\n|---|---|---|---|\n"
        "| anchor_recall@1 | 20.0 | 31.3 | +11.2 |\n| caption_recall@1 | 100.0 | 97.5 | -2.5 |",
        "| metric, cosine | before | after | difference |\n|---|---|---|---|\n"
        "| caption_cosine | 1.000 | 0.912 | -0.088 |",
    ]
