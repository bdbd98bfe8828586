"""From captions to a patch: what is written, what is kept, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rtd_adapters import (
    AdaptJob,
    RuleSettings,
    TextEncoderPatch,
    TrainingSettings,
    get_method,
    load_backbone,
    load_projection,
    run_adapt,
)
from rtd_adapters.demo.caption_file import training_captions
from rtd_adapters.errors import FileError, TripletError, UsageError
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.jobs.adapt import run
from rtd_adapters.jobs.adapt.job import CARD, PATCH, PROJECTION, TRIPLETS
from rtd_adapters.training.inversion import InversionSettings

MADE = (PROJECTION, TRIPLETS, PATCH, CARD)
STEPS = ("_train_projection", "_make_triplets", "_train_patch")


@pytest.fixture
def job(miniature_clip, tmp_path):
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(training_captions(300)))
    return AdaptJob(
        str(captions),
        tmp_path / "adapted",
        backbone=miniature_clip["backbone"],
        pretrained=miniature_clip["pretrained"],
        keywords="word-list",
        inversion=InversionSettings(steps=2, batch_size=8),
        rules=RuleSettings(band=(-1, 1)),
        settings=TrainingSettings(steps=2, batch_size=8),
        quiet=True,
    )


@pytest.fixture
def taken(monkeypatch):
    """Names of the steps that are taken, in order."""
    steps = []

    def noted(name, take):
        def step(*args):
            steps.append(name)
            return take(*args)

        return step

    for name in STEPS:
        monkeypatch.setattr(run, name, noted(name, getattr(run, name)))
    return steps


def hashes(folder):
    return {name: file_sha256(folder / name) for name in MADE}


def test_captions_become_a_projection_triplets_and_a_patch(job, taken):
    said = []
    result = run_adapt(job, said.append)
    assert taken == list(STEPS)
    assert {path.name for path in job.out.iterdir()} == {*MADE, "adapt.json"}

    backbone = load_backbone(job.backbone, job.pretrained)
    load_projection(get_method("lincir"), backbone, job.out / PROJECTION)
    metadata = TextEncoderPatch.load(job.out / PATCH).metadata
    assert metadata.method == "lincir"
    assert metadata.projection["sha256"] == file_sha256(job.out / PROJECTION)
    assert metadata.triplets["sha256"] == file_sha256(job.out / TRIPLETS)
    lines = (job.out / TRIPLETS).read_text().splitlines()
    assert result.triplets["triplets"] == len(lines) > 100
    captions = set(training_captions(300))
    rows = [json.loads(line) for line in lines]
    assert all({row["reference_caption"], row["target_caption"]} & captions for row in rows)
    assert result.patch["figures"] == metadata.figures
    assert result.projection["steps"] == 2

    again = run_adapt(job)
    assert taken[3:] == []
    assert again == result


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_was_cut_off_ends_in_the_same_bytes(job, taken, step, monkeypatch):
    whole = run_adapt(replace(job, out=job.out.with_name("whole")))

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(run, step, killed)
        with pytest.raises(KeyboardInterrupt):
            run_adapt(job)
    before = set(job.out.iterdir())
    taken.clear()
    run_adapt(job)
    assert taken == list(STEPS[STEPS.index(step) :])
    assert before <= set(job.out.iterdir())
    own, theirs = hashes(job.out), hashes(whole.folder)
    assert {n: own[n] for n in MADE[:2]} == {n: theirs[n] for n in MADE[:2]}
    mended, straight = (TextEncoderPatch.load(f / PATCH) for f in (job.out, whole.folder))
    assert mended.metadata.fingerprint == straight.metadata.fingerprint


def test_other_settings_are_refused_by_name(job):
    run_adapt(job)
    before = hashes(job.out)
    longer = replace(job, inversion=replace(job.inversion, steps=3))
    with pytest.raises(FileError, match=r"projection\.pt .* made with other settings \(steps\)"):
        run_adapt(longer)
    with pytest.raises(FileError, match=r"weights\.safetensors .* other settings \(batch_size\)"):
        run_adapt(replace(job, settings=replace(job.settings, batch_size=4)))
    assert hashes(job.out) == before


def test_other_words_and_another_share_of_real_targets_are_other_triplets(job, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("fabric adjective: tweed | satin\n")
    run_adapt(job)
    for other in ({"kinds": own}, {"rules": replace(job.rules, real=0)}):
        with pytest.raises(FileError, match=r"triplets\.jsonl .* other settings \((kinds|real)\)"):
            run_adapt(replace(job, **other))
    other = replace(job, kinds=own, out=tmp_path / "other")
    run_adapt(other)
    own.write_text("fabric adjective: tweed | silk\n")
    with pytest.raises(FileError, match=r"triplets\.jsonl .* other settings \(kinds\)"):
        run_adapt(other)


def test_a_file_that_was_changed_is_not_taken_for_ours(job, taken):
    run_adapt(job)
    with (job.out / TRIPLETS).open("a") as stream:
        stream.write("\n")
    with pytest.raises(FileError, match=r"triplets\.jsonl is not what rtd adapt wrote"):
        run_adapt(job)
    (job.out / TRIPLETS).unlink()
    taken.clear()
    run_adapt(job)
    assert taken == ["_make_triplets"]


def test_other_peoples_folders_are_left_alone(job):
    job.out.mkdir()
    (job.out / PROJECTION).write_text("theirs")
    with pytest.raises(FileError, match="something else than an earlier run"):
        run_adapt(job)
    assert [path.name for path in job.out.iterdir()] == [PROJECTION]


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"method": "pic2word"}, UsageError, "learns from pictures"),
        ({"method": "context_i2w"}, UsageError, "does not say how"),
        ({"captions": "-"}, UsageError, "standard input"),
        ({"kind": "half"}, UsageError, "Unknown kind"),
        ({"captions": "nowhere.txt"}, FileError, "nowhere.txt"),
    ],
)
def test_bad_requests_leave_no_files(job, changed, error, message):
    with pytest.raises(error, match=message):
        run_adapt(replace(job, **changed))
    assert not job.out.exists() or [p.name for p in job.out.iterdir()] == ["adapt.json"]


def test_captions_without_keywords_say_so(job, tmp_path):
    (tmp_path / "captions.txt").write_text("of the and\nor if but\n")
    with pytest.raises(TripletError, match="has a keyword"):
        run_adapt(job)


def test_several_processes_are_sent_to_the_steps(job, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="torchrun"):
        run_adapt(job)
