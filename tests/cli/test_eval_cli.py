"""`rtd eval` prints, writes and refuses."""

from __future__ import annotations

import csv
import json

import pytest


@pytest.mark.slow
def test_json_csv_and_a_run_folder(rtd, tmp_path):
    run, table = tmp_path / "run", tmp_path / "figures.csv"
    done = rtd("eval", "--method", "searle", "--no-cache", "--out", run, "--csv", table, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["base"]["recall@1"] == pytest.approx(21.6, abs=0.3)
    assert found["patched"] is None
    with table.open(newline="") as file:
        rows = {row["metric"]: float(row["base"]) for row in csv.DictReader(file)}
    assert rows == pytest.approx(found["base"])
    again = rtd("eval", "--method", "searle", "--out", run)
    assert again.returncode == 1
    assert "--overwrite" in again.stderr
    report = rtd("report", run, "--out", tmp_path / "report.html")
    assert report.returncode == 0, report.stderr
    assert "<article" not in report.stdout
    assert "<article" in (tmp_path / "report.html").read_text()


def test_submissions_are_not_replaced_and_need_a_folder(rtd, benchmark_folder, tmp_path):
    root = benchmark_folder("circo")
    asked = ("eval", "--method", "searle", "--benchmark", "circo", "--data", root)
    nowhere = rtd(*asked, "--split", "test")
    assert nowhere.returncode == 2
    assert "--out" in nowhere.stderr
    (tmp_path / "circo.json").write_text("mine")
    taken = rtd(*asked, "--split", "test", "--out", tmp_path)
    assert taken.returncode == 1
    assert "exists already" in taken.stderr
    assert (tmp_path / "circo.json").read_text() == "mine"


def test_wrong_usage(rtd, tmp_path):
    assert rtd("eval", "--method", "searle", "--benchmark", "cirr").returncode == 2
    assert rtd("eval", "--method", "serle").returncode == 2
    gone = rtd("report", tmp_path, "--out", tmp_path / "r.html")
    assert gone.returncode == 1
    assert "result.json cannot be read" in gone.stderr
