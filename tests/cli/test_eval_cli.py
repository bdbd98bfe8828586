"""`rtd eval` prints, writes and refuses."""

from __future__ import annotations

import csv
import json

import pytest

PLAIN = ("--captions-benchmark", "demo-captions")


@pytest.mark.slow
def test_json_csv_and_a_run_folder(rtd, tmp_path):
    run, table = tmp_path / "run", tmp_path / "figures.csv"
    done = rtd("eval", "--method", "searle", "--no-cache", "--out", run, "--csv", table, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["base"]["recall@1"] == pytest.approx(19.0, abs=0.3)
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
    for columns in (("--rivals",), ("--also-strength", "0.5")):
        refused = rtd(*asked, "--split", "test", "--out", tmp_path, *columns)
        assert refused.returncode == 2
        assert "a submission has none" in refused.stderr
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
    assert "result.json is missing or no file" in gone.stderr


def test_options_of_the_method_reach_it_and_the_record(rtd, tmp_path):
    run = tmp_path / "run"
    asked = ("eval", "--method", "fti4cir", "--no-cache", "--quiet", "--out", run)
    done = rtd(*asked, "--method-option", "stand_in=words", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settings"]["method_options"] == {"stand_in": "words"}
    assert json.loads((run / "result.json").read_text())["settings"]["method_options"]


def test_an_evaluation_is_of_the_method_as_its_options_say():
    from rtd_adapters.evaluation.inputs import prepare

    assert prepare(method="fti4cir").method.stand_in == "tokens"
    asked = prepare(method="fti4cir", method_options={"stand_in": "words"})
    assert asked.method.stand_in == "words"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("stand_in",), "'stand_in' is not NAME=VALUE"),
        (("=words",), "is not NAME=VALUE"),
        (("stand_in=",), "is not NAME=VALUE"),
        (("stand_in=words", "stand_in=tokens"), "stand_in is given twice"),
        (("stand_in=pictures",), "choose one of tokens, words"),
        (("standin=words",), "no option 'standin'; it has: stand_in"),
    ],
)
@pytest.mark.parametrize("command", ["eval", "patch"])
def test_method_options_that_are_none(command, option, words, rtd, tmp_path):
    given = [word for text in option for word in ("--method-option", text)]
    out = ("--out", tmp_path / "out")
    refused = rtd(command, "--method", "fti4cir", *out, *given)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert not (tmp_path / "out").exists()


def test_several_runs_are_compared(rtd, tmp_path):
    from rtd_adapters.evaluation.result import QueryRecord, Result

    queries = [QueryRecord(str(n), "", "r", "x", ["t"], "", 1, 1, [], [], 1) for n in range(2)]
    runs = [tmp_path / "a", tmp_path / "b"]
    for folder, benchmark in zip(runs, ("bench", "other"), strict=True):
        Result("m", benchmark, "val", {"r": 50.0}, queries=queries).save(folder / "result.json")
    out = tmp_path / "page.html"
    refused = rtd("report", *runs, "--out", out)
    assert refused.returncode == 1
    assert "are not of the same benchmark: bench against other" in refused.stderr
    assert not out.exists()
    Result("m", "bench", "val", {"r": 50.0}, queries=queries).save(runs[1] / "result.json")
    done = rtd("report", *runs, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "2 results" in done.stdout
    assert "<title>2 results on bench</title>" in out.read_text()
    assert rtd("report", *runs, "--out", out, "--training", "m.jsonl").returncode == 2


@pytest.fixture
def asked(miniature_clip, benchmark_folder, tmp_path):
    """`rtd eval` of a patch of the miniature CLIP, on composed queries."""
    from shaken_patches import shaken_patch

    from rtd_adapters import load_backbone

    backbone = load_backbone(miniature_clip["backbone"], miniature_clip["pretrained"])
    shaken_patch(backbone, 0.05).save(tmp_path / "w.safetensors")
    clip = [word for name, value in miniature_clip.items() for word in (f"--{name}", value)]
    given = ("--patch", tmp_path / "w.safetensors", "--no-cache", "--quiet", "--device", "cpu")
    benchmark = ("--benchmark", "custom", "--data", benchmark_folder("custom"))
    return ("eval", "--method", "searle", *clip, *given, *benchmark)


def test_one_command_shows_the_ways_to_search_and_finds_what_two_find(
    rtd, asked, benchmark_folder, tmp_path
):
    run, table = tmp_path / "run", tmp_path / "ways.csv"
    plain = ("coco-captions", benchmark_folder("coco-captions"))
    both = ("--captions-benchmark", plain[0], "--captions-data", plain[1], "--also-strength", 0.5)
    shown = rtd(*asked, *both, "--rivals", "--out", run, "--csv", table)
    assert shown.returncode == 0, shown.stderr
    assert [line.split("  ")[0] for line in shown.stdout.splitlines()[1:6]] == [
        "queries by", "base", "patched", "patched", "strength 0.5"
    ]  # fmt: skip
    assert f"rtd report {run} {run}/captions --ways" in shown.stdout
    alone = [json.loads(rtd(*asked[:-4], *to, "--also-strength", 0.5, "--json").stdout) for to in (
        ("--benchmark", "custom", "--data", asked[-1]),
        ("--benchmark", plain[0], "--data", plain[1]),
    )]  # fmt: skip
    values = json.loads(rtd(*asked, *both, "--json").stdout)
    assert [values[what]["benchmark"] for what in ("composed", "captions")] == ["custom", plain[0]]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(values["ways"]) == 4 * sum(len(own["base"]) for own in alone)
    for row, value in zip(rows, values["ways"], strict=True):
        own = alone[row["asked"] == "captions"]
        by = row["captions_by" if row["asked"] == "captions" else "queries_by"]
        column = own["columns"][by]["figures"] if by.startswith("strength") else own[by]
        assert float(row["figure"]) == value["figure"] == column[row["metric"]]
        if by == "patched":
            assert [value["low"], value["high"]] == own["intervals"][row["metric"]]
    page = rtd("report", run, run / "captions", "--ways", "--out", tmp_path / "ways.html")
    assert page.returncode == 0, page.stderr
    again = rtd(*asked, *both, "--out", run)
    assert (again.returncode, "exists already" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--captions-data", "."), "--captions-data needs --captions-benchmark"),
        (PLAIN, "Pass --patch."),
        ((*PLAIN, "--split", "test"), "--split test none"),
        (("--captions-benchmark", "demo", "--patch", "w"), "demo asks composed queries"),
        ((*PLAIN, "--benchmark", "demo-captions", "--patch", "w"), "asks plain captions"),
        (("--captions-benchmark", "coco-captions", "--patch", "w"), "do not go together"),
    ],
)
def test_captions_that_cannot_be_asked_besides(given, words, rtd, tmp_path):
    refused = rtd("eval", "--method", "searle", *given)
    assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr


def test_ways_are_of_two_runs(rtd, tmp_path):
    refused = rtd("report", tmp_path, "--ways", "--out", tmp_path / "w.html")
    assert refused.returncode == 2
    assert "--ways is of two runs" in refused.stderr
