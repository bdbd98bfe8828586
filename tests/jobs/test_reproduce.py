"""`rtd reproduce`: kept pieces, kills, other files of the same names, and tables that agree."""

from __future__ import annotations

import csv
import json
import pickle
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import pytest

from rtd_adapters.errors import BackboneError, FileError, UsageError
from rtd_adapters.evaluation.result import Result
from rtd_adapters.io.locks import claimed
from rtd_adapters.jobs.reproduce import run as work
from rtd_adapters.jobs.reproduce.config import read_config
from rtd_adapters.jobs.reproduce.page import write_page
from rtd_adapters.jobs.reproduce.plan import PATCH, Skipped, runs_of
from rtd_adapters.jobs.reproduce.run import Means, reproduce
from rtd_adapters.jobs.reproduce.tables import as_latex
from rtd_adapters.patch import TextEncoderPatch

EXAMPLES = Path(__file__).parents[2] / "examples" / "reproduce"
TEXT = """
title: Two methods & <b>one</b> noise
backbones: {demo: {}}
methods: {searle: {}, pic2word: {}}
trainings: {short: {steps: 2}, no_noise: {steps: 2, noise_scale: 0}}
benchmarks: {demo: {}, half: {benchmark: demo, strength: 0.5}}
experiments:
  methods:
    methods: [searle, pic2word]
    backbones: [demo]
    triplets: [own]
    trainings: [short]
    benchmarks: [demo, half]
    seeds: [0, 1]
  noise:
    methods: [searle]
    backbones: [demo]
    triplets: [own]
    trainings: [short, no_noise]
    benchmarks: [demo]
    seeds: [0, 1]
"""
LEARNED = [
    ("searle", "short", 0), ("searle", "short", 1), ("pic2word", "short", 0),
    ("pic2word", "short", 1), ("searle", "no_noise", 0), ("searle", "no_noise", 1),
]  # fmt: skip


@pytest.fixture
def config(tmp_path):
    """Reads TEXT, or what has become of it."""

    def of(text=TEXT):
        (tmp_path / "c.yaml").write_text(text)
        return read_config(tmp_path / "c.yaml")

    return of


@pytest.fixture
def done(monkeypatch):
    """Training and searching made up; notes what was done, and is killed when told to."""
    notes = SimpleNamespace(learned=[], searched=[], killed_at=None)

    def tell(list_, what):
        if notes.killed_at == (list_, len(getattr(notes, list_))):
            raise KeyboardInterrupt
        getattr(notes, list_).append(what)

    def learn(job, say):
        training = job.out.parents[1].name
        tell("learned", (job.method, training, job.settings.seed))
        job.out.parent.mkdir(parents=True, exist_ok=True)
        job.out.write_text("a patch")
        return SimpleNamespace(seconds=2.5)

    def search(self, run, choice):
        tell("searched", (run.title, choice.name))
        base = 10.0 + len(run.method.name)
        patched = base + 3 * run.seed + len(run.training.name) / 8 + len(choice.name)
        figures = {"recall@1": patched, "50%_recall": patched + 1 / 3}
        settings = {
            "prompt": "a photo of $ that {text}",
            "gallery": {"all": 7},
            "patch_sha256": f"sha of {run.title}",
            "seconds": 1.5,
            "asked": self.asked(run, choice),
        }
        interval = (run.seed - 0.5, run.seed + 5.0)
        return Result(
            run.method.method, choice.benchmark, "val", dict.fromkeys(figures, base), figures,
            dict.fromkeys(figures, interval), [], settings,
        )  # fmt: skip

    monkeypatch.setattr(work, "run_patch", learn)
    monkeypatch.setattr(work._Work, "search", search)
    return notes


def test_everything_is_done_once_and_shared_by_experiments(config, done, tmp_path):
    findings = reproduce(config(), tmp_path / "out")
    assert done.learned == LEARNED
    assert len(done.searched) == len(set(done.searched)) == 4 * 2 + 2
    assert [f.experiment for f in findings.found].count("noise") == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.html", "reproduce.json", "results.csv", "results.json", "results.tex", "runs"
    ]  # fmt: skip
    reproduce(config(), tmp_path / "out")
    assert done.learned == LEARNED
    assert len(done.searched) == 10


KILLS = [("learned", 0), ("learned", 3), ("searched", 0), ("searched", 3), ("searched", 9)]


@pytest.mark.parametrize("kill", KILLS, ids=str)
def test_a_killed_one_goes_on_and_does_nothing_twice(kill, config, done, tmp_path):
    done.killed_at = kill
    with pytest.raises(KeyboardInterrupt):
        reproduce(config(), tmp_path / "out")
    assert not (tmp_path / "out" / "index.html").exists()
    done.killed_at = None
    reproduce(config(), tmp_path / "out")
    assert done.learned == LEARNED
    assert len(done.searched) == len(set(done.searched)) == 10


def test_a_kill_between_a_patch_and_its_notes_costs_the_seconds_alone(
    config, done, tmp_path, monkeypatch
):
    write = work.write_json

    def killed(path, value):
        if path.name == work.TRAINED:
            raise KeyboardInterrupt
        write(path, value)

    monkeypatch.setattr(work, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(config(), tmp_path / "out")
    monkeypatch.setattr(work, "write_json", write)
    reproduce(config(), tmp_path / "out")
    assert done.learned == LEARNED
    first, second, *_ = runs_of(config(), config().experiments[0])
    assert work._trained(first.folder(tmp_path / "out")) == {}
    assert work._trained(second.folder(tmp_path / "out"))["seconds"] == 2.5


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("short: {steps: 2}", "short: {steps: 3}", "settings"),
        ("short: {steps: 2}", "short: {steps: 2, kind: lora}", "kind, settings"),
        ("searle: {}", "searle: {method: lincir}", "method, training projection"),
        ("strength: 0.5", "strength: 0.25", "search"),
        ("half: {benchmark: demo", "half: {benchmark: demo, preprocess: targetpad", "search"),
    ],
)
def test_what_was_asked_for_otherwise_is_refused_before_anything_is_done(
    old, new, what, config, done, tmp_path
):
    reproduce(config(), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_bytes()
    changed = config(TEXT.replace(old, new).replace("seeds: [0, 1]", "seeds: [2, 1, 0]"))
    with pytest.raises(FileError, match=rf"with another {what} than the file asks for now"):
        reproduce(changed, tmp_path / "out")
    assert done.learned == LEARNED
    assert (tmp_path / "out" / "index.html").read_bytes() == page


def test_more_may_be_asked_for_later(config, done, tmp_path):
    reproduce(config(), tmp_path / "out")
    reproduce(config(TEXT.replace("seeds: [0, 1]", "seeds: [0, 1, 2]")), tmp_path / "out")
    assert done.learned[len(LEARNED) :] == [
        ("searle", "short", 2), ("pic2word", "short", 2), ("searle", "no_noise", 2)
    ]  # fmt: skip


def test_other_annotations_are_another_benchmark(config, done, tmp_path, monkeypatch):
    reproduce(config(), tmp_path / "out")
    load = work.make_plan

    def other(config):
        plan = load(config)
        demo = plan.benchmarks["demo"]
        (part,) = demo.parts
        plan.benchmarks["demo"] = replace(demo, parts=(replace(part, queries=part.queries[1:]),))
        return plan

    monkeypatch.setattr(work, "make_plan", other)
    with pytest.raises(FileError, match="another annotations than"):
        reproduce(config(), tmp_path / "out")


def test_a_patch_of_somebody_else_is_not_taken(config, done, tmp_path):
    reproduce(config(), tmp_path / "out")
    (first, *_) = runs_of(config(), config().experiments[0])
    (first.folder(tmp_path / "out") / "asked.json").unlink()
    with pytest.raises(FileError, match=f"{PATCH} is none that rtd reproduce wrote"):
        reproduce(config(), tmp_path / "out")


def test_a_folder_with_something_else_in_it_is_refused(config, done, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("mine")
    with pytest.raises(FileError, match="no folder of rtd reproduce, and not empty"):
        reproduce(config(), tmp_path / "out")
    assert (tmp_path / "out" / "results.csv").read_text() == "mine"
    assert not done.learned


def test_two_at_once_are_refused(config, done, tmp_path):
    with claimed(tmp_path / "out"), pytest.raises(FileError, match="written by another run"):
        reproduce(config(), tmp_path / "out")
    assert not done.learned
    assert not (tmp_path / "out").exists()


def test_several_processes_are_refused(config, done, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun"):
        reproduce(config(), tmp_path / "out")


def test_runs_at_once_are_those_of_one_at_a_time(config, done, tmp_path, monkeypatch):
    """Each from what goes to its process alone, and the last one first."""
    asked = []

    def measured(jobs, examples, say):
        asked.append((jobs, examples))
        return [{}] * jobs

    def at_once(do, pieces, slots, finished, say):
        assert len(slots) == 4
        for name in reversed(pieces):
            finished(name, do(pickle.loads(pickle.dumps(pieces[name])), say))

    monkeypatch.setattr(work, "slots", measured)
    monkeypatch.setattr(work, "at_once", at_once)
    one = reproduce(config(), tmp_path / "one")
    done.learned.clear()
    said = []
    assert reproduce(config(), tmp_path / "s", Means(jobs=4), said.append) == one
    assert done.learned == LEARNED[::-1]
    for name in ("results.csv", "results.tex"):
        assert (tmp_path / "s" / name).read_text() == (tmp_path / "one" / name).read_text()
    assert said[-1] == "searle, demo, own, short, seed 0: done"
    ((jobs, examples),) = asked
    assert jobs == 4
    trainings = [title.split(", ")[3] for title in examples]
    assert trainings == ["short", "no_noise"]
    searched = [[job.options.strength for job in jobs] for _, jobs in examples.values()]
    assert searched == [[1.0, 0.5], [1.0]]
    assert reproduce(config(), tmp_path / "s", Means(jobs=4)) == one
    assert len(asked) == 1  # nothing is left to measure


def test_weights_that_cannot_be_had_are_tried_once_and_skipped(
    config, done, tmp_path, monkeypatch, benchmark_folder
):
    tried = []

    def load(*names):
        tried.append(names)
        raise BackboneError("no network")

    monkeypatch.setattr(work, "load_backbone", load)
    (tmp_path / "t.jsonl").touch()
    (tmp_path / "phi.pt").touch()
    text = f"""
        title: t
        backbones: {{L: {{model: ViT-L-14, pretrained: openai}}}}
        methods: {{searle: {{projections: {{L: phi.pt}}}}}}
        triplets: {{mine: {{file: t.jsonl}}}}
        trainings: {{paper: {{}}}}
        benchmarks: {{cirr: {{data: {benchmark_folder("cirr")}}}}}
        experiments:
          e:
            methods: [searle]
            backbones: [L]
            triplets: [mine]
            trainings: [paper]
            benchmarks: [cirr]
            seeds: [0, 1]
    """
    findings = reproduce(config(text), tmp_path / "out")
    assert findings.skipped == (Skipped("e", "searle, L, mine, paper", "no network"),)
    assert tried == [("ViT-L-14", "openai")]
    assert not findings.found
    assert not done.learned
    assert "no network" in (tmp_path / "out" / "index.html").read_text()


def kept(out):
    """Every result's file, by the folders it lies in and its benchmark."""
    files = sorted((out / "runs").rglob("results/*.json"))
    return {
        (*file.relative_to(out / "runs").parts[:5], file.stem): Result.load(file) for file in files
    }


def test_json_csv_and_latex_hold_the_figures_of_the_results(config, done, tmp_path):
    out = tmp_path / "out"
    reproduce(config(), out)
    results = kept(out)
    lines = list(csv.DictReader((out / "results.csv").open(newline="")))
    assert len(lines) == 12 * 2
    found = json.loads((out / "results.json").read_text())
    assert len(found["results"]) == 12
    for line in lines:
        names = tuple(line[n] for n in ("method", "backbone", "triplets", "training"))
        result = results[(*names, f"seed-{line['seed']}", line["benchmark"])]
        metric = line["metric"]
        assert float(line["patched"]) == result.patched[metric]
        assert float(line["base"]) == result.base[metric]
        assert (float(line["low"]), float(line["high"])) == result.intervals[metric]
        assert line["prompt"] == "a photo of $ that {text}"
        assert line["gallery"] == "all 7"
        assert line["patch_sha256"] == result.settings["patch_sha256"]
        (entry,) = [
            e for e in found["results"]
            if all(str(e[n]) == line[n] for n in (*EXPERIMENT, "seed", "benchmark"))
        ]  # fmt: skip
        (figure,) = [f for f in entry["figures"] if f["metric"] == metric]
        assert figure["change"] == result.patched[metric] - result.base[metric]
        assert entry["conditions"]["seconds"] == 1.5


EXPERIMENT = ("experiment", "method", "backbone", "triplets", "training")


def test_seeds_are_taken_together_by_mean_and_range(config, done, tmp_path):
    out = tmp_path / "out"
    reproduce(config(), out)
    results = kept(out)
    over = json.loads((out / "results.json").read_text())["over_seeds"]
    assert len(over) == 6 * 2
    for summary in over:
        values = [
            results[(*summary["cell"], f"seed-{seed}", summary["benchmark"])].patched[
                summary["metric"]
            ]
            for seed in (0, 1)
        ]
        assert summary["seeds"] == [0, 1]
        assert summary["patched"] == {
            "mean": fmean(values), "least": min(values), "most": max(values)
        }  # fmt: skip
        assert (summary["low"], summary["high"]) == (-0.5, 6.0)


def test_latex_is_escaped_and_has_a_line_for_each_encoder(config, done, tmp_path):
    text = as_latex(reproduce(config(), tmp_path / "out"))
    assert text.startswith(r"% Two methods \& <b>one</b> noise")
    assert text.count(r"\begin{tabular}{llllrr}") == text.count(r"\end{tabular}") == 3
    assert r"method & backbone & triplets & training & recall@1 & 50\%\_recall \\" in text
    assert r"searle & demo &  & base & 16.00 & 16.00 \\" in text
    searle = 16 + len("short") / 8 + len("demo")
    cell = f"{searle + 1.5:.2f} [{searle:.2f}, {searle + 3:.2f}]"
    assert f"searle & demo & own & short & {cell} & " in text
    assert r"searle & demo & own & no\_noise & " in text
    noise = text.split("% noise, demo")[1]
    assert noise.count("& base &") == 1


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


EVIL = '</td></details><script>alert("x")</script><img src=http://x onerror=y>@@TABLES@@&'


def test_the_page_escapes_whatever_the_names(config, done, tmp_path):
    findings = reproduce(config(), tmp_path / "out")
    plain = Tags((tmp_path / "out" / "index.html").read_text())

    def hostile(finding):
        result = finding.result
        renamed = {
            name: {
                EVIL if key == "recall@1" else key: v for key, v in getattr(result, name).items()
            }
            for name in ("base", "patched", "intervals")
        }
        settings = {**result.settings, "prompt": EVIL, "versions": {EVIL: EVIL}}
        names = {"experiment": EVIL, "cell": (EVIL, *finding.cell[1:]), "benchmark": EVIL}
        return replace(finding, result=replace(result, settings=settings, **renamed), **names)

    evil = replace(
        findings,
        config=replace(findings.config, title=EVIL),
        found=tuple(map(hostile, findings.found)),
        skipped=(Skipped(EVIL, EVIL, EVIL),),
    )
    write_page(evil, tmp_path / "evil.html")
    page = Tags((tmp_path / "evil.html").read_text())
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in plain.tags}
    assert not any("src" in attrs or "href" in attrs for _, attrs in page.tags)


def test_the_page_shows_the_tables_figures(config, done, tmp_path):
    reproduce(config(), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Two methods &amp; &lt;b&gt;one&lt;/b&gt; noise" in page
    searle = 16 + len("short") / 8 + len("demo")
    assert f"<td>{searle + 1.5:.2f}<br><small>{searle:.2f} to {searle + 3:.2f}</small></td>" in page
    assert page.count("<details>") == 12
    assert 'class="up">' in page
    assert not re.search("https?://", page)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The example that ships, made smaller still, and what `rtd` says to it."""
    text = (EXAMPLES / "miniature.yaml").read_text()
    text = text.replace("steps: 20, batch_size: 32, warmup_steps: 5", "steps: 2, batch_size: 8")
    text = text.replace("methods: [searle, pic2word]", "methods: [pic2word]")
    text = text.replace("seeds: [0, 1]", "seeds: [0]")
    text = text.replace("trainings: [short, no-refined-batch]", "trainings: [no-refined-batch]")
    (tmp_path / "tiny.yaml").write_text(text)
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "tiny.yaml"


@pytest.mark.slow
def test_the_miniature_that_ships(tiny, tmp_path, monkeypatch):
    out = tmp_path / "out"
    findings = reproduce(read_config(tiny), out, Means(quiet=True))
    assert [f.cell for f in findings.found] == [
        ("pic2word", "demo", "own", "short"),
        ("searle", "demo-gap", "own", "short"),
        ("searle", "demo", "own", "no-refined-batch"),
    ]
    for finding in findings.found:
        conditions = finding.conditions()
        assert all(conditions[name] for name in conditions), conditions
        folder = out.joinpath("runs", *finding.cell, "seed-0")
        patch = TextEncoderPatch.load(folder / PATCH).metadata
        assert sorted(path.name for path in folder.iterdir()) == [
            "asked.json", PATCH, "results", "trained.json"
        ]  # fmt: skip
        assert conditions["patch_sha256"] == patch.fingerprint["fp32"]
        assert conditions["projection_sha256"] == patch.projection["sha256"]
        assert conditions["triplets_sha256"] == patch.triplets["sha256"]
        assert patch.training["steps"] == 2
        assert patch.training["refined_batch"] == (finding.cell[3] == "short")
        assert finding.result.base != finding.result.patched
    towers = {f.cell[1]: f.conditions()["text_tower_sha256"] for f in findings.found}
    assert len(set(towers.values())) == 2
    monkeypatch.setattr(work, "run_patch", None)
    monkeypatch.setattr(work, "compare", None)
    assert reproduce(read_config(tiny), out, Means(quiet=True)) == findings


@pytest.fixture
def rtd(capsys):
    """Runs `rtd` and returns its exit code and what it said."""

    def run(*arguments):
        from rtd_adapters.cli import main

        with pytest.raises(SystemExit) as exit_:
            main(list(map(str, arguments)))
        return exit_.value.code, *capsys.readouterr()

    return run


def test_a_dry_run_lists_what_there_is_to_do_and_writes_nothing(rtd, config, done, tmp_path):
    config()
    code, said, _ = rtd("reproduce", tmp_path / "c.yaml", "--out", tmp_path / "out", "--dry-run")
    assert code == 0
    assert "would run searle, demo, own, short, seed 0, on demo, half" in said
    assert "6 patches, 10 searches" in said
    code, said, _ = rtd(
        "reproduce", tmp_path / "c.yaml", "--out", tmp_path / "out", "--dry-run", "--json"
    )
    assert len(json.loads(said)["runs"]) == 6
    assert not done.learned
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_the_command_prints_what_it_found(rtd, config, done, tmp_path):
    config()
    code, said, told = rtd("reproduce", tmp_path / "c.yaml", "--out", tmp_path / "out")
    assert code == 0
    assert "searle, demo, own, short, seed 0: learning" in told
    assert "searle, demo, base" in said
    assert "12 results: " in said
    code, said, told = rtd("reproduce", tmp_path / "c.yaml", "--out", tmp_path / "out", "--json")
    assert not told
    assert json.loads(said) == json.loads((tmp_path / "out" / "results.json").read_text())


def test_a_defect_in_the_file_ends_with_one(rtd, config, tmp_path):
    (tmp_path / "c.yaml").write_text("title: t\nextra: 1\n")
    code, _, told = rtd("reproduce", tmp_path / "c.yaml", "--out", tmp_path / "out")
    assert code == 1
    assert told.startswith("Error: ")
    assert "'extra' is no key here" in told
