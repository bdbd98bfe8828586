"""`rtd patch` in the built-in world: what it prints, writes, refuses, and survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rtd_adapters.errors import FileError
from rtd_adapters.patch import TextEncoderPatch

QUICK = ("--max-steps", 3, "--batch-size", 8, "--quiet")


@pytest.fixture(scope="module")
def quick(tmp_path_factory, patch):
    """A three-step patch made by the command line, and its --json."""
    out = tmp_path_factory.mktemp("quick") / "weights.safetensors"
    run = patch(out, *QUICK, "--json", "--card", "--validate-every", 3)
    assert run.returncode == 0, run.stderr
    return out, run


def test_json_is_one_object_and_nothing_else(quick):
    out, run = quick
    result = json.loads(run.stdout)
    assert result["file"] == str(out)
    assert result["steps"] == 3
    assert result["before"].keys() == result["after"].keys()
    assert {"recall@1", "recall@5", "recall@10", "text_to_image_recall@1"} <= result[
        "before"
    ].keys()
    assert all(0 <= value <= 100 for value in result["after"].values())
    assert result["fingerprint"] != result["base_fingerprint"]
    assert run.stderr == ""


def test_the_run_folder_goes_when_the_run_is_done(quick):
    out, _ = quick
    assert sorted(path.name for path in out.parent.iterdir()) == ["README.md", out.name]


def test_the_card_says_how_it_was_made_and_how_to_load_it(quick):
    card = (quick[0].parent / "README.md").read_text(encoding="utf-8")
    assert "--method searle" in card
    assert "load_state_dict(load_file" in card
    assert "| recall@1 |" in card


def test_inspect_shows_it(quick, rtd):
    out, run = quick
    shown = rtd("inspect", out)
    assert shown.returncode == 0
    for word in (
        "searle",
        "demo (activation gelu)",
        "openai",
        "20,000 from built-in world",
        "recall@1",
    ):
        assert word in shown.stdout, word
    as_json = json.loads(rtd("inspect", out, "--json").stdout)
    assert as_json["figures"]["after"] == json.loads(run.stdout)["after"]
    assert as_json["fingerprint"] == json.loads(run.stdout)["fingerprint"]


def test_inspect_shows_what_it_was_calibrated_on(rtd, tmp_path):
    from rtd_adapters.demo.pictures import write_pictures

    write_pictures(tmp_path / "pictures", 32)
    asked = ("patch", "--method", "context_i2w", "--backbone", "demo", "--max-steps", 0)
    out = tmp_path / "w.safetensors"
    run = rtd(*asked, "--calibrate", tmp_path / "pictures", "--out", out)
    assert run.returncode == 0, run.stderr
    assert "calibrated on 32 pictures" in run.stderr
    assert "calibration  32 pictures (sha256 " in rtd("inspect", out).stdout


def test_zero_steps_change_nothing(patch, tmp_path):
    out = tmp_path / "w.safetensors"
    run = patch(out, "--max-steps", 0, "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["before"] == result["after"]
    assert result["fingerprint"] == result["base_fingerprint"]


def test_one_seed_one_file_and_another_seed_another(patch, quick, tmp_path):
    again, other = tmp_path / "weights.safetensors", tmp_path / "other.safetensors"
    assert patch(again, *QUICK, "--validate-every", 3).returncode == 0
    assert patch(other, *QUICK, "--seed", 1).returncode == 0
    assert again.read_bytes() == quick[0].read_bytes()
    assert other.read_bytes() != quick[0].read_bytes()


def test_the_file_drops_into_openai_clip_as_apply_does(quick):
    """`strict=False` into OpenAI's own model class gives the same features as `apply`."""
    clip = pytest.importorskip("clip.model")
    from rtd_adapters.clip.text import Tokenizer
    from rtd_adapters.demo.clip import load_demo_clip
    from rtd_adapters.demo.models import RESNET

    demo, _ = load_demo_clip(RESNET)
    by_hand, applied = (
        clip.CLIP(128, 64, (1, 1, 1, 1), 16, None, 40, 49408, 128, 4, 3) for _ in "ab"
    )
    # OpenAI's class always uses QuickGELU, the demo GELU: what is compared is the loading.
    for model in (by_hand, applied):
        text = {n: t for n, t in demo.state_dict().items() if not n.startswith("visual.")}
        model.load_state_dict(text, strict=False)
    _, unexpected = by_hand.load_state_dict(load_file(quick[0]), strict=False)
    assert not unexpected
    TextEncoderPatch.load(quick[0]).apply(applied, force=True)
    ids = Tokenizer(40).encode(["a photo of a red star", "two blue rings on a dark background"])
    with torch.no_grad():
        difference = (by_hand.encode_text(ids) - applied.encode_text(ids)).abs().max()
    assert difference <= 1e-5


def test_lora_writes_its_adapter_too(patch, tmp_path):
    out, adapter = tmp_path / "lora.safetensors", tmp_path / "adapter"
    run = patch(out, *QUICK[:-1], "--kind", "lora", "--lora-rank", 2, "--adapter-out", adapter)
    assert run.returncode == 0, run.stderr
    assert "merged against adapter outputs" in run.stderr
    assert (adapter / "adapter_model.safetensors").stat().st_size < out.stat().st_size / 10
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == 2


def test_half_precision_says_what_survives(patch, tmp_path):
    run = patch(tmp_path / "w.safetensors", "--max-steps", 2, "--batch-size", 4, "--dtype", "fp16")
    assert run.returncode == 0, run.stderr
    assert "of the change survives rounding to fp16" in run.stderr


def test_dry_run_writes_nothing(patch, tmp_path):
    run = patch(tmp_path / "w.safetensors", "--dry-run", "--batch-size", 4)
    assert run.returncode == 0, run.stderr
    for word in ("trained parameters", "first loss", "would write", "memory"):
        assert word in run.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "switch",
    [
        ("--no-refined-batch",),
        ("--noise-scale", 0),
        ("--concat", "text"),
        ("--keep-alignment",),
        ("--schedule", "constant", "--warmup-steps", 0),
        ("--gradient-accumulation", 2),
        ("--max-grad-norm", 0.1),
        ("--mixed-precision", "bf16"),
    ],
)
def test_each_switch_runs_and_changes_the_result(switch, patch, quick, tmp_path):
    out = tmp_path / "w.safetensors"
    run = patch(out, *QUICK, *switch)
    assert run.returncode == 0, run.stderr
    changed = TextEncoderPatch.load(out).metadata.fingerprint
    assert changed != TextEncoderPatch.load(quick[0]).metadata.fingerprint


def test_an_option_of_the_method_changes_the_result_and_is_recorded(rtd, tmp_path):
    made = {}
    for stand_in in ("tokens", "words"):
        out = tmp_path / f"{stand_in}.safetensors"
        option = ("--method-option", f"stand_in={stand_in}")
        run = rtd("patch", "--method", "fti4cir", "--out", out, *QUICK, *option)
        assert run.returncode == 0, run.stderr
        made[stand_in] = TextEncoderPatch.load(out).metadata
        assert made[stand_in].projection["options"] == {"stand_in": stand_in}
    assert made["tokens"].fingerprint != made["words"].fingerprint


def test_a_stand_in_is_an_option_of_the_method_by_a_shorter_name(rtd, tmp_path):
    made = []
    for flags in (("--stand-in", "words"), ("--method-option", "stand_in=words")):
        out = tmp_path / f"{len(made)}.safetensors"
        assert rtd("patch", "--method", "fti4cir", "--out", out, *QUICK, *flags).returncode == 0
        made.append(TextEncoderPatch.load(out).metadata)
    assert made[0].fingerprint == made[1].fingerprint
    assert made[0].projection == made[1].projection


def test_reuse_trains_searles_encoder_for_the_method(rtd, patch, tmp_path):
    """The same weights as a patch of SEARLE's, with the figures of the method it is for."""
    out, other = tmp_path / "reuse.safetensors", tmp_path / "searle.safetensors"
    flags = ("--out", out, *QUICK, "--stand-in", "reuse", "--json")
    run = rtd("patch", "--method", "context_i2w", *flags)
    assert run.returncode == 0, run.stderr
    assert patch(other, *QUICK).returncode == 0
    reused, searle = (TextEncoderPatch.load(path).metadata for path in (out, other))
    assert reused.fingerprint == searle.fingerprint
    assert reused.method == "context_i2w"
    assert reused.projection["method"] == "searle"
    assert reused.projection["sha256"] == searle.projection["sha256"]
    own = rtd("patch", "--method", "context_i2w", "--out", tmp_path / "own", *QUICK, "--json")
    assert json.loads(run.stdout)["before"] == json.loads(own.stdout)["before"]
    assert reused.figures["before"] != searle.figures["before"]


@pytest.mark.parametrize(
    ("method", "flags", "said"),
    [
        ("context_i2w", ("--stand-in", "words"), "no stand_in 'words'; choose one of tokens, capt"),
        ("searle", ("--stand-in", "tokens"), "searle has no option 'stand_in'; it has: none"),
        (
            "fti4cir",
            ("--stand-in", "words", "--method-option", "stand_in=words"),
            "Pass either --stand-in or --method-option stand_in",
        ),
        (
            "context_i2w",
            ("--stand-in", "reuse", "--backbone", "ViT-B-32", "--triplets", "x.json"),
            "needs --projection (searle's)",
        ),
    ],
)
def test_a_stand_in_that_the_method_has_not(method, flags, said, rtd, tmp_path):
    run = rtd("patch", "--method", method, "--out", tmp_path / "w.safetensors", *flags)
    assert run.returncode == 2
    assert said in " ".join(run.stderr.split())
    assert not list(tmp_path.iterdir())


def test_settings_of_the_command_line_reach_the_run(patch, tmp_path):
    """Every option of the recipe, each with a value that is no default."""
    given = {
        "--lr": 2e-4, "--batch-size": 6, "--weight-decay": 0.02, "--warmup-steps": 1,
        "--schedule": "constant", "--temperature": 0.08, "--noise-scale": 0.4, "--concat": "text",
        "--gradient-accumulation": 2, "--max-grad-norm": 0.9, "--engine": "fast",
        "--chunk-size": 3, "--mixed-precision": "no", "--max-steps": 2, "--seed": 5,
        "--noise": "relative", "--frozen-precision": "bf16",
    }  # fmt: skip
    flags = (
        "--no-refined-batch", "--keep-alignment", "--checkpoint-activations", "--local-negatives"
    )  # fmt: skip
    words = [word for pair in given.items() for word in pair]
    planned = patch(tmp_path / "w", *words, *flags, "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["settings"] == {
        "learning_rate": 2e-4, "batch_size": 6, "weight_decay": 0.02, "warmup_steps": 1,
        "schedule": "constant", "temperature": 0.08, "noise_scale": 0.4, "concat": "text",
        "gradient_accumulation": 2, "max_grad_norm": 0.9, "engine": "fast", "chunk_size": 3,
        "mixed_precision": "no", "steps": 2, "seed": 5, "refined_batch": False,
        "keep_alignment": True, "checkpoint_activations": True, "local_negatives": True,
        "noise": "relative", "frozen_precision": "bf16",
    }  # fmt: skip


def test_low_rank_settings_reach_the_file(patch, tmp_path):
    out = tmp_path / "w.safetensors"
    sizes = ("--lora-rank", 3, "--lora-alpha", 5, "--lora-dropout", 0.1)
    reach = ("--lora-targets", "attention", "--lora-blocks", "1-2")
    run = patch(out, *QUICK, "--kind", "lora", *sizes, *reach)
    assert run.returncode == 0, run.stderr
    assert TextEncoderPatch.load(out).metadata.lora == {
        "rank": 3, "alpha": 5.0, "dropout": 0.1, "targets": ["attention"], "blocks": [1, 2]
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_killed_run_resumes_to_the_same_bits(kind, patch, tmp_path):
    arguments = (
        "--max-steps",
        12,
        "--batch-size",
        16,
        "--kind",
        kind,
        "--checkpoint-every",
        2,
        "--validate-every",
        4,
        "--select",
        "anchor_recall@1",
    )
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    assert patch(whole, *arguments, "--quiet").returncode == 0
    command = [
        sys.executable,
        "-m",
        "rtd_adapters",
        "patch",
        "--method",
        "searle",
        "--out",
        cut,
        *arguments,
        "--quiet",
    ]
    process = subprocess.Popen(list(map(str, command)))
    run_folder = tmp_path / "cut.safetensors.run"
    deadline = time.time() + 120
    while not list(run_folder.glob("step-*6")) and time.time() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not cut.exists(), "the run was over before it could be killed"
    refused = patch(cut, *arguments, "--quiet")
    assert refused.returncode == 1
    assert "--resume" in refused.stderr
    other = patch(cut, *arguments, "--quiet", "--resume", "--lr", 1)
    assert other.returncode == 1
    assert "learning_rate: 0.0" in other.stderr
    assert patch(cut, *arguments, "--quiet", "--resume").returncode == 0
    assert cut.read_bytes() == whole.read_bytes()
    assert not run_folder.exists()


def test_a_kept_run_folder_holds_a_line_a_step(patch, tmp_path):
    run_folder = tmp_path / "run"
    out = tmp_path / "w.safetensors"
    assert patch(out, *QUICK, "--run-dir", run_folder, "--validate-every", 2).returncode == 0
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert "anchor_recall@1" in lines[1]
    assert "anchor_recall@1" not in lines[0]


def test_nan_stops_the_run_and_names_step_and_checkpoint(patch, tmp_path):
    run = patch(
        tmp_path / "w.safetensors",
        "--lr",
        1e30,
        "--warmup-steps",
        0,
        "--batch-size",
        8,
        "--checkpoint-every",
        1,
        "--quiet",
    )
    assert run.returncode == 1
    assert "at step 2" in run.stderr or "at step 3" in run.stderr
    assert "The last good checkpoint is" in run.stderr
    assert not (tmp_path / "w.safetensors").exists()


def test_wrong_usage_is_exit_code_2(rtd, tmp_path):
    out = tmp_path / "w.safetensors"
    for arguments, words in (
        (("patch", "--method", "serle", "--out", out), "Did you mean 'searle'"),
        (("patch", "--method", "searle"), "Missing option '-o' / '--out'"),
        (
            ("patch", "--method", "searle", "--out", out, "--adapter-out", tmp_path / "a"),
            "--adapter-out needs --kind lora",
        ),
        (
            ("patch", "--method", "searle", "--out", out, "--backbone", "ViT-B-32"),
            "needs --projection and --triplets",
        ),
        (("patch", "--method", "searle", "--out", out, "--temperature", 0), "must be above 0"),
        (("patch", "--method", "searle", "--out", out, "--lora-blocks", "x"), "no range"),
        (("nonsense",), "No such command 'nonsense'"),
    ):
        run = rtd(*arguments)
        assert run.returncode == 2, run.stderr
        assert words in run.stderr
        assert "Traceback" not in run.stderr


def test_failures_are_exit_code_1_with_one_message(rtd, quick, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"reference_caption": ""}\n')
    exists, _ = quick
    before = exists.read_bytes()
    for arguments, words in (
        (("--out", exists), "exists already. Pass --overwrite"),
        (("--out", "/proc/nothing/w.safetensors"), "cannot be written"),
        (("--out", tmp_path / "w", "--triplets", bad), "line 1: no conditioning_caption"),
        (("--out", tmp_path / "w", "--triplets", tmp_path / "none"), "none cannot be read"),
        (("--out", tmp_path / "w", "--projection", exists), "missing layers.0.weight"),
        (("--out", tmp_path / "w", "--resume"), "no checkpoint in"),
        (("--out", tmp_path / "w", "--pretrained", "openai"), "brings its own weights"),
        (("--out", tmp_path / "w", "--batch-size", 100_000, "--quiet"), "do not fill one batch"),
    ):
        run = rtd("patch", "--method", "searle", *arguments)
        assert run.returncode == 1, run.stderr
        assert words in run.stderr
        assert "Traceback" not in run.stderr
    assert exists.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json"]


def test_debug_lets_the_failure_through(rtd):
    with pytest.raises(FileError):
        rtd("--debug", "patch", "--method", "searle", "--out", "/proc/x/w", "--quiet")


def test_overwrite_replaces(patch, tmp_path):
    out = tmp_path / "w.safetensors"
    out.write_bytes(b"old")
    assert patch(out, *QUICK, "--overwrite").returncode == 0
    assert Path(out).read_bytes() != b"old"


def test_columns_of_other_names(patch, tmp_path):
    table = tmp_path / "edits.csv"
    rows = [f"a red star {number},is blue,a blue star {number}" for number in range(30)]
    table.write_text("src,edit,dst\n" + "\n".join(rows) + "\n")
    out = tmp_path / "w.safetensors"
    columns = "reference=src,conditioning=edit,target=dst"
    run = patch(out, *QUICK, "--triplets", table, "--columns", columns)
    assert run.returncode == 0, run.stderr
    assert TextEncoderPatch.load(out).metadata.triplets["count"] == 30


def test_a_tracker_that_does_not_exist_is_refused_before_anything_loads(rtd, tmp_path):
    refused = rtd("patch", "--method", "searle", "--backbone", "nothing to load", "--tracker",
                  "nosuch", "--out", tmp_path / "w.safetensors")  # fmt: skip
    assert refused.returncode == 2
    assert "Unknown tracker 'nosuch'" in refused.stderr
    assert "tensorboard" in refused.stderr
