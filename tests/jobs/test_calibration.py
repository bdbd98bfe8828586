"""`rtd patch --calibrate`: what it lifts better, what it records, what it refuses."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.clip.images import image_states
from rtd_adapters.demo.pictures import write_pictures
from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.jobs.calibration import LEAST, PictureFolder
from rtd_adapters.jobs.inputs import PatchJob, load_inputs
from rtd_adapters.jobs.patch import new_patch, run_patch
from rtd_adapters.jobs.plan import plan_patch
from rtd_adapters.training import RunOptions, TrainingSettings

FEW = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "pictures"
    write_pictures(path, FEW)
    (path / "notes.txt").write_text("no picture")
    return path


@pytest.fixture
def job(tmp_path, folder):
    return PatchJob(
        method="context_i2w",
        out=tmp_path / "w.safetensors",
        backbone="demo-gap",
        calibrate=folder,
        settings=TrainingSettings(steps=1, batch_size=4),
        options=RunOptions(quiet=True),
    )


@torch.no_grad()
def test_captions_are_lifted_nearer_to_their_pictures(job):
    """On pictures that it was not fitted to, whole and by patches, across a modality gap."""
    import random

    from rtd_adapters.demo.captions import caption
    from rtd_adapters.demo.clip import pixels
    from rtd_adapters.demo.render import draw
    from rtd_adapters.demo.scenes import draw_training_scene

    rng = random.Random(123)
    scenes = [draw_training_scene(rng) for _ in range(60)]
    backbone = load_backbone(job.backbone)
    own = image_states(backbone.model, pixels(draw(scene, 1) for scene in scenes)).tokens
    embedding = backbone.embed_captions([caption(scene, rng) for scene in scenes])
    vectors = embedding[:, None].expand(-1, 2, -1)

    def cosines(head):
        lifted = head.lift_pictures(vectors)
        return (
            torch.cosine_similarity(lifted[:, 0], own[:, 0], dim=-1).mean().item(),
            torch.cosine_similarity(lifted[:, 1], own[:, 1:].mean(1), dim=-1).mean().item(),
        )

    before = cosines(backbone.image_head)
    said = []
    caption_job = replace(job, method_options={"stand_in": "caption"})
    after = cosines(load_inputs(caption_job, said.append).backbone.image_head)
    assert before[0] < 0.55 and before[1] < 0.4
    assert after[0] > 0.75 and after[1] > 0.75
    (line,) = [line for line in said if "calibrated" in line]
    assert line.startswith(f"calibrated on {FEW} pictures of {job.calibrate}: ")
    left_out = float(line.split("lifted pictures ")[1].split(" ")[0])
    assert 0.8 < left_out <= 1


def test_a_patch_names_the_pictures_it_was_calibrated_on(job, folder):
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.png")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(path.name.encode() + b"\0" + content.encode() + b"\0")
    metadata = new_patch(job, load_inputs(job)).metadata
    assert metadata.projection["calibration"] == {"count": FEW, "sha256": digest.hexdigest()}
    plain = replace(job, calibrate=None)
    assert "calibration" not in str(new_patch(plain, load_inputs(plain)).metadata.to_header())


def test_training_sees_the_fitted_lift(job):
    assert plan_patch(job).cost.loss != plan_patch(replace(job, calibrate=None)).cost.loss


def test_a_run_goes_on_only_with_the_pictures_it_began_with(job, folder, tmp_path):
    identities = [
        new_patch(other, load_inputs(other)).identity()
        for other in (job, replace(job, calibrate=None))
    ]
    other = tmp_path / "others"
    write_pictures(other, FEW, seed=1)
    moved = replace(job, calibrate=other)
    identities.append(new_patch(moved, load_inputs(moved)).identity())
    assert identities[0]["calibration"]["count"] == FEW
    assert "calibration" not in identities[1]
    assert identities[0] != identities[2]


@pytest.mark.slow
def test_a_sweep_takes_up_no_patch_of_other_pictures(job, tmp_path):
    from rtd_adapters.jobs.sweep import run_sweep

    changes = {"whole": {}}
    (row,) = run_sweep(job, changes, tmp_path / "sweep")
    assert run_sweep(job, changes, tmp_path / "sweep") == [row]
    with pytest.raises(FileError, match=r"other settings \(calibration\)"):
        run_sweep(replace(job, calibrate=None), changes, tmp_path / "sweep")


def refusal(job, error):
    said = []
    with pytest.raises(error) as caught:
        run_patch(job, said.append)
    assert not job.out.exists()
    assert not [line for line in said if "training" in line]
    return str(caught.value)


def test_a_folder_that_will_not_do_is_named(job, tmp_path):
    missing = tmp_path / "missing"
    assert f"{missing} is no folder" in refusal(replace(job, calibrate=missing), FileError)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("x")
    assert f"{empty} holds no pictures" in refusal(replace(job, calibrate=empty), FileError)
    few = tmp_path / "few"
    write_pictures(few, LEAST - 1)
    message = refusal(replace(job, calibrate=few), FileError)
    assert f"{few} holds {LEAST - 1} pictures" in message and f"fewer than {LEAST}" in message


def test_a_broken_picture_is_named(job, tmp_path):
    pictures = tmp_path / "pictures"
    write_pictures(pictures, LEAST)
    whole = (pictures / "00003.png").read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (pictures / "00003.png").write_bytes(content)
        message = refusal(replace(job, calibrate=pictures), FileError)
        assert f"{pictures / '00003.png'} is no picture" in message


def test_pictures_that_are_all_the_same_are_refused(job, tmp_path):
    pictures = tmp_path / "pictures"
    write_pictures(pictures, 1)
    one = (pictures / "00000.png").read_bytes()
    for number in range(1, LEAST):
        (pictures / f"{number:05}.png").write_bytes(one)
    assert "sees the same in all" in refusal(replace(job, calibrate=pictures), UsageError)


@pytest.mark.parametrize(
    ("method", "stand_in", "words"),
    [
        ("searle", None, r"searle reads no states\. Leave it out"),
        ("context_i2w", "reuse", "--stand-in reuse lifts no captions.*tokens or caption, or leave"),
        ("fti4cir", "words", "--stand-in words lifts no captions.*--stand-in tokens, or leave"),
    ],
)
def test_a_method_that_lifts_nothing_cannot_be_calibrated(method, stand_in, words, job, tmp_path):
    options = {"stand_in": stand_in} if stand_in else {}
    asked = replace(job, method=method, method_options=options, calibrate=tmp_path / "missing")
    with pytest.raises(UsageError, match=words):
        run_patch(asked)


def test_a_backbone_without_a_lift_is_refused(job, folder, toy_backbone):
    assert "demo-resnet has an attention pool" in refusal(
        replace(job, backbone="demo-resnet"), UsageError
    )
    with pytest.raises(UsageError, match="toy/random has no image tower for rtd"):
        PictureFolder.found(folder).seen_by(toy_backbone)
