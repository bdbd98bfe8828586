"""The notebooks run from top to bottom, each in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
NEEDS = {"first_patch": "lancedb", "search": "lancedb"}
"""Packages of an extra."""


def test_there_is_one_for_each_who_comes():
    assert NOTEBOOKS == ["first_patch", "own_benchmark", "own_method", "search"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path):
    client = pytest.importorskip("nbclient", reason="nbclient, which runs notebooks, is not there")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip(NEEDS.get(name, "torch"), reason="the extra search is not installed")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", nbformat.NO_CONVERT)
    assert any(cell.get("outputs") for cell in notebook.cells), "it was never run"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    place = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)
