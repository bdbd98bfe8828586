"""Sweeps on real inputs: figures as eval takes them, nothing twice, no other question resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rtd_adapters import (
    EvalOptions,
    PatchJob,
    TextEncoderPatch,
    TrainingSettings,
    evaluate,
    run_patch,
)
from rtd_adapters.errors import FileError, TripletError, UsageError
from rtd_adapters.jobs import judges, sweep
from rtd_adapters.jobs.evaluate import EvalJob
from rtd_adapters.jobs.inputs import load_inputs
from rtd_adapters.jobs.sweep import (
    ABLATION,
    noise_changes,
    run_sweep,
    strength_changes,
    triplet_changes,
)
from rtd_adapters.jobs.sweep_reading import reading
from rtd_adapters.training.validation import held_out_figures

FEW = TrainingSettings(steps=2, batch_size=4, learning_rate=5e-3)
QUIET = EvalOptions(quiet=True, cache=False)


def write_triplets(file: Path, what: str = "dog") -> Path:
    names = ("reference_caption", "conditioning_caption", "target_caption")
    rows = [(f"a {what} {n}", f"is number {n + 1}", f"a {what} {n + 1}") for n in range(30)]
    file.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    return file


@pytest.fixture
def job(miniature_clip, tmp_path):
    triplets = write_triplets(tmp_path / "triplets.jsonl")
    return PatchJob("searle", Path("unused"), settings=FEW, triplets=triplets, **miniature_clip)


@pytest.fixture
def searched(miniature_clip, benchmark_folder):
    return EvalJob("searle", "cirr", benchmark_folder("cirr"), options=QUIET, **miniature_clip)


@pytest.fixture
def done(monkeypatch):
    """What was learned and what was measured, in order."""
    did = []

    def learned(job):
        did.append(job.out.name)
        return run_patch(job)

    def searching(evaluation, tower, title):
        did.append(title)
        return search(evaluation, tower, title)

    search = judges.search_parts
    monkeypatch.setattr(sweep, "run_patch", learned)
    monkeypatch.setattr(judges, "search_parts", searching)
    return did


def test_figures_are_those_of_eval(job, searched, miniature_clip, tmp_path):
    rows = run_sweep(job, noise_changes([0.0, 1.0]), tmp_path / "s", searched=searched)
    for row in rows:
        file = tmp_path / "s" / f"{row.name}.safetensors"
        own = evaluate("searle", "cirr", file, data=searched.data, options=QUIET, **miniature_clip)
        assert (row.before, row.after) == (own.base, own.patched)
        assert row.intervals == own.intervals
        assert sum(row.queries["after"][""]) / 40 == pytest.approx(own.patched["recall@1"])
    found = reading(rows)
    assert (found.name, found.across) == ("noise", "noise scale")
    assert [x for x, _ in found.series["composed"]] == [0.0, 1.0]
    assert found.intervals.keys() == {"before", "noise-0", "noise-1"}


def test_plain_captions_are_searched_without_the_projection_that_trains(
    job, searched, benchmark_folder, tmp_path
):
    """--projection is that of SEARLE, which training sees in the place of the method's own."""
    reuse = {"method": "fti4cir", "method_options": {"stand_in": "reuse"}}
    captions = {"benchmark": "coco-captions", "data": benchmark_folder("coco-captions")}
    (row,) = run_sweep(
        replace(job, **reuse),
        strength_changes([1.0]),
        tmp_path / "s",
        searched=replace(searched, **reuse, **captions),
    )
    assert row.before.keys() == row.after.keys() == {"recall@1", "recall@5", "recall@10"}


def test_what_could_not_be_searched_is_not_learned(job, searched, tmp_path):
    reuse = {"method": "fti4cir", "method_options": {"stand_in": "reuse"}}
    with pytest.raises(UsageError, match=r"reuses searle's projection.* searched with its own"):
        run_sweep(
            replace(job, **reuse),
            strength_changes([1.0]),
            tmp_path / "s",
            searched=replace(searched, **reuse),
        )
    assert not (tmp_path / "s").exists()


def test_a_value_that_was_finished_is_neither_learned_nor_measured_again(
    job, searched, done, tmp_path, monkeypatch
):
    changes, out = noise_changes([0.0, 1.0]), tmp_path / "s"

    def killed(self, job, patch, strength):
        if job.out.stem == "noise-1":
            raise KeyboardInterrupt
        return figures(self, job, patch, strength)

    figures = judges.BenchmarkJudge.figures
    monkeypatch.setattr(judges.BenchmarkJudge, "figures", killed)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(job, changes, out, searched=searched)
    monkeypatch.setattr(judges.BenchmarkJudge, "figures", figures)
    both = ["searching, patched", "searching, base"]
    assert done == ["noise-0.safetensors", *both, "noise-1.safetensors"]
    done.clear()
    rows = run_sweep(job, changes, out, searched=searched)
    assert done == both
    done.clear()
    assert run_sweep(job, changes, out, searched=searched) == rows
    assert not done
    (more,) = run_sweep(job, noise_changes([0.5]), out, searched=searched)
    assert done == ["noise-0.5.safetensors", *both]
    assert more.before == rows[0].before


def test_a_patch_that_was_cut_off_goes_on_from_its_checkpoint(job, tmp_path, monkeypatch):
    whole = run_sweep(job, {"whole": {}}, tmp_path / "whole")
    from rtd_adapters.training import resume

    save = resume.save_checkpoint

    def killed(*given, **named):
        save(*given, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "CHECKPOINT_MINUTES", 1e-9)
    monkeypatch.setattr(resume, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(job, {"whole": {}}, tmp_path / "cut")
    monkeypatch.setattr(resume, "save_checkpoint", save)
    run = tmp_path / "cut" / "whole.safetensors.run"
    assert [path.name for path in run.glob("step-*")] == ["step-000000001"]

    checkpoints = []

    def resumed(job):
        checkpoints.append(job.options.resume)
        return run_patch(job)

    monkeypatch.setattr(sweep, "run_patch", resumed)
    assert run_sweep(job, {"whole": {}}, tmp_path / "cut") == whole
    assert checkpoints == [True]
    bytes_of = [(tmp_path / n / "whole.safetensors").read_bytes() for n in ("whole", "cut")]
    assert bytes_of[0] == bytes_of[1]
    assert not run.exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": replace(FEW, seed=1)}, "seed"),
        ({"kind": "lora"}, "kind"),
        ({"triplets": "other.jsonl"}, "triplets"),
        ({"projection": "other.pt"}, "projection"),
        ({"pretrained": "other"}, "pretrained"),
    ],
)
def test_another_question_does_not_resume(change, named, job, done, tmp_path):
    out = tmp_path / "s"
    run_sweep(job, {"whole": {}}, out)
    done.clear()
    if "projection" in change:
        (tmp_path / "other.pt").write_bytes(b"another")
        change = {"projection": tmp_path / "other.pt"}
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(FileError, match=rf"learned with other settings \({named}\)"):
        run_sweep(replace(job, **change), {"whole": {}}, out)
    assert not done
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_figures_of_another_benchmark_do_not_stand_in(job, searched, tmp_path):
    run_sweep(job, {"whole": {}}, tmp_path / "s", searched=searched)
    other = replace(searched, options=replace(QUIET, preprocess="targetpad"))
    with pytest.raises(FileError, match=r"measured with other settings \(preprocess\)"):
        run_sweep(job, {"whole": {}}, tmp_path / "s", searched=other)


def test_triplets_whose_file_changed_are_others(job, tmp_path):
    run_sweep(job, {"whole": {}}, tmp_path / "s")
    write_triplets(Path(job.triplets), "cat")
    with pytest.raises(FileError, match=r"other settings \(triplets\)"):
        run_sweep(job, {"whole": {}}, tmp_path / "s")


def test_a_patch_of_somebody_else_is_not_taken_up(job, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/whole.safetensors").write_bytes(b"mine")
    with pytest.raises(FileError, match="no patch of this sweep"):
        run_sweep(job, {"whole": {}}, tmp_path / "s")


@pytest.mark.parametrize("content", ["[]", "{", '{"asked": {}}', '{"asked": 1, "found": {}}'])
def test_a_damaged_ledger_is_named(content, job, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/sweep.json").write_text(content)
    with pytest.raises(FileError, match=r"sweep\.json"):
        run_sweep(job, {"whole": {}}, tmp_path / "s")


def test_strengths_are_of_one_patch(job, searched, done, tmp_path):
    rows = run_sweep(job, strength_changes([1.0, 0.0]), tmp_path / "s", searched=searched)
    assert done.count("whole.safetensors") == 1
    one, none = rows
    assert none.after == none.before == one.before
    assert one.after != one.before
    found = reading(rows)
    assert found.name == "strength"
    assert found.series["composed"][0] == (0.0, none.before["recall@1"])
    with pytest.raises(UsageError, match="strength"):
        run_sweep(job, strength_changes([float("nan")]), tmp_path / "s", searched=searched)


def test_strengths_on_held_out_triplets(job, tmp_path):
    half, one = run_sweep(job, strength_changes([0.5, 1]), tmp_path / "s")
    file = tmp_path / "s/whole.safetensors"
    assert one.after == TextEncoderPatch.load(file).metadata.figures["after"]
    inputs = load_inputs(job)
    tower = TextEncoderPatch.load(file).build_tower(inputs.backbone.tower.state_dict(), 0.5)
    held_out = inputs.trainer(job).held_out.triplets
    assert half.after == held_out_figures(inputs.towers(tower), held_out)
    assert half.after != one.after
    assert "One seed: differences of a point or two mean nothing." in reading([half, one]).reading


def test_each_strategy_trains_on_its_own_triplets(job, tmp_path):
    files = [write_triplets(tmp_path / f"{what}.jsonl", what) for what in ("cat", "car")]
    job = replace(job, triplets=None)
    rows = run_sweep(job, triplet_changes(map(str, files)), tmp_path / "s")
    assert [row.name for row in rows] == ["triplets-cat", "triplets-car"]
    for what, file in zip(("cat", "car"), files, strict=True):
        patch = TextEncoderPatch.load(tmp_path / f"s/triplets-{what}.safetensors")
        assert patch.metadata.triplets["source"].endswith(file.name)
    assert reading(rows).name == "triplets"
    write_triplets(files[1], "cow")
    with pytest.raises(FileError, match=r"triplets-car.*other settings \(triplets\)"):
        run_sweep(job, triplet_changes(map(str, files)), tmp_path / "s")
    with pytest.raises(UsageError, match=r"two sources of triplets are called cat"):
        triplet_changes(["a/cat.jsonl", "b/cat.json"])


def test_ties_are_called_ties(job, searched, tmp_path):
    """Patches of no steps are the base, and tie."""
    still = replace(job, settings=replace(FEW, steps=0))
    rows = run_sweep(still, ABLATION, tmp_path / "s", searched=searched)
    assert reading(rows).reading.endswith(
        "A tie with whole: no-refined-batch, no-noise, text-for-token. One seed."
    )
    assert rows[0].after == rows[0].before


@pytest.fixture
def one_thread(monkeypatch):
    """Here and in all processes that are started: bytes are those of as many threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_several_at_once_leave_the_bytes_of_one_at_a_time(job, searched, tmp_path):
    changes, told = noise_changes([0, 1]), []
    rows = run_sweep(job, changes, tmp_path / "s", told.append, searched, jobs=2)
    assert told[0] == "noise-0: measuring how much memory it takes"
    for name in changes:
        own = [line for line in told if line.startswith(f"{name}: ")]
        assert own[-3:-1] == [f"{name}: learning", f"{name}: taking figures"]
    assert told[-1].endswith(": done, 2 of 2")
    assert run_sweep(job, changes, tmp_path / "one", searched=searched) == rows
    assert files_of(tmp_path / "s") == files_of(tmp_path / "one")


@pytest.fixture
def backwards(monkeypatch):
    """What begins first is done last, all in this process; notes what began together."""
    together = []

    def do(work, pieces, slots, done, tell):
        if pieces:
            together.append(list(pieces))
        for name in reversed(pieces):
            done(name, work(pieces[name], tell))

    monkeypatch.setattr(sweep, "at_once", do)
    monkeypatch.setattr(sweep, "slots", lambda jobs, examples, say: [{}] * jobs)
    return together


def test_whichever_is_done_first_the_ledger_is_the_same(job, backwards, tmp_path):
    changes = noise_changes([0, 0.5, 1])
    rows = run_sweep(job, changes, tmp_path / "s", jobs=3)
    assert backwards == [["noise-0", "noise-0.5", "noise-1"]]
    assert run_sweep(job, changes, tmp_path / "one") == rows
    assert files_of(tmp_path / "s") == files_of(tmp_path / "one")


def test_one_value_learns_the_patch_that_several_share(job, backwards, done, tmp_path):
    changes = strength_changes([1.0, 0.5, 0.25])
    rows = run_sweep(job, changes, tmp_path / "s", jobs=2)
    assert backwards == [["strength-1"], ["strength-0.5", "strength-0.25"]]
    assert done == ["whole.safetensors"]
    assert run_sweep(job, changes, tmp_path / "one") == rows
    backwards.clear()
    run_sweep(job, strength_changes([0.75, 0.9]), tmp_path / "s", jobs=2)
    assert backwards == [["strength-0.75", "strength-0.9"]]  # the patch is there


def test_a_value_that_fails_ends_a_sweep_of_several_and_what_is_found_is_kept(
    job, backwards, tmp_path
):
    (tmp_path / "bad.jsonl").write_text("no triplet")
    changes = {"never": {}, "bad": {"triplets": str(tmp_path / "bad.jsonl")}, "good": {}}
    with pytest.raises(TripletError, match=r"bad\.jsonl"):
        run_sweep(job, changes, tmp_path / "s", jobs=2)
    assert list(json.loads((tmp_path / "s/sweep.json").read_text())["found"]) == ["good"]
    backwards.clear()
    (row, _) = run_sweep(job, {"good": {}, "never": {}}, tmp_path / "s", jobs=2)
    assert row.name == "good"
    assert not backwards  # one is left, which needs no process


def test_several_processes_start_no_further_ones(job, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match="--jobs starts processes itself"):
        run_sweep(job, noise_changes([0, 1]), tmp_path / "s", jobs=2)
    assert not (tmp_path / "s").exists()
