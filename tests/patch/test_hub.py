"""Patches, projections, backbones and triplets by their names on a Hub, with its real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_server import TOKEN, Hub
from huggingface_hub import ModelCard

from rtd_adapters import TextEncoderPatch
from rtd_adapters.errors import UsageError
from rtd_adapters.patch import FullPatch

NAME = "me/searle-rtd"
FACTS = ("--license", "mit", "--base-model", "owner/clip", "--dataset", "owner/captions")


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(hub, tmp_path):
    """Runs Python with the Hub's client turned to the server; its settings are read at import."""

    def run(*arguments, offline=False, token=TOKEN):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": str(int(offline)),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **({"HF_TOKEN": token} if token else {}),
        }
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture
def rtd(ask):
    return lambda *arguments, **where: ask("-m", "rtd_adapters", *arguments, **where)


@pytest.fixture
def patch_file(toy_backbone, searle, tmp_path):
    patch = TextEncoderPatch.create("full", toy_backbone, searle)
    assert isinstance(patch, FullPatch)
    patch.metadata.figures = {"before": {"recall@1": 10.0}, "after": {"recall@1": 12.25}}
    patch.save(tmp_path / "weights.safetensors", dtype="bf16")
    return tmp_path / "weights.safetensors"


def test_a_patch_goes_to_the_hub_and_back(hub, rtd, patch_file):
    pushed = rtd("push", patch_file, NAME, *FACTS, "--private", "--json")
    assert pushed.returncode == 0, pushed.stderr
    repository = hub.repositories[NAME]
    assert repository.private
    assert json.loads(pushed.stdout)["commit"] == (
        f"{hub.url}/{NAME}/commit/{repository.branches['main']}"
    )
    files = repository.files()
    assert set(files) == {"patch.safetensors", "README.md"}
    assert files["patch.safetensors"] == patch_file.read_bytes()
    assert len(repository.messages) == 2, "file and card are one commit"

    front, card = files["README.md"].decode().split("---\n", 2)[1:]
    said = yaml.safe_load(front)
    assert (said["license"], said["base_model"], said["datasets"]) == (
        "mit", "owner/clip", ["owner/captions"],
    )  # fmt: skip
    (result,) = said["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "recall@1", "value": 12.25}]
    data = ModelCard(files["README.md"].decode()).data
    assert [(r.metric_type, r.metric_value) for r in data.eval_results] == [("recall@1", 12.25)]
    assert (data.model_name, data.library_name) == ("patch.safetensors", "rtd-adapters")
    assert f'hf_hub_download("{NAME}", "patch.safetensors")' in card
    assert f'rtd_adapters.apply(model, "{NAME}", strength=1.0)' in card

    shown = json.loads(rtd("inspect", NAME, "--json").stdout)
    own = json.loads(rtd("inspect", patch_file, "--json").stdout)
    assert {**shown, "file": None} == {**own, "file": None}
    asked = len(hub.asked)
    assert json.loads(rtd("inspect", NAME, "--json", offline=True).stdout) == shown
    assert len(hub.asked) == asked, "offline asks nobody"


FROM_PYTHON = """
import sys, torch
from rtd_adapters import TextEncoderPatch
from rtd_adapters.errors import RtdError
patch = TextEncoderPatch.load(sys.argv[1])
print(patch.push_to_hub("me/one", message="first"))
print(patch.push_to_hub("me/one@next", message="second"))
for source, revision in (("me/one", None), ("me/one", "next"), ("hf://me/one@next", None)):
    back = TextEncoderPatch.from_pretrained(source, revision=revision)
    assert back.metadata.fingerprint == patch.metadata.fingerprint
    for name, tensor in back.state().items():
        assert torch.equal(tensor, patch.state()[name]), name
for source, revision in (
    ("me/none", None), ("me/one", "gone"), ("me/gated", None),
    ("hf://me/one/other.safetensors", None), ("hf://me/one/README.md", None),
):
    try:
        TextEncoderPatch.from_pretrained(source, revision=revision)
    except RtdError as error:
        print(error)
"""


def test_from_python(hub, ask, patch_file):
    hub.add("me/gated", {"patch.safetensors": b""}, gated=True)
    run = ask("-c", FROM_PYTHON, patch_file)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    one = hub.repositories["me/one"]
    assert one.messages == ["made", "first", "second"]
    assert lines[:2] == [f"{hub.url}/me/one/commit/{one.branches[b]}" for b in ("main", "next")]
    assert [line.split(" cannot be fetched: ")[0] for line in lines[2:6]] == [
        "hf://me/none", "hf://me/one@gone", "hf://me/gated", "hf://me/one/other.safetensors",
    ]  # fmt: skip
    assert "Check the name" in lines[2]
    assert "behind the @" in lines[3]
    assert "Ask for access" in lines[4]
    assert "Name a file that it has" in lines[5]
    assert "README.md" in lines[6]


def test_who_may_not_push_is_told_what_to_do(hub, rtd, patch_file):
    run = rtd("push", patch_file, NAME, token=None)
    assert run.returncode == 1
    assert f"hf://{NAME} cannot be pushed to" in run.stderr
    assert "hf auth" in run.stderr
    assert hub.repositories == {}
    run = rtd("push", patch_file, NAME, offline=True)
    assert run.returncode == 1
    assert "HF_HUB_OFFLINE" in run.stderr


def test_a_data_set_is_no_place_for_a_patch(patch_file):
    with pytest.raises(UsageError, match="no repository of models"):
        TextEncoderPatch.load(patch_file).push_to_hub("hf://datasets/me/x")


EVERYTHING = """
import sys, torch
from rtd_adapters import load_backbone, read_triplets
from rtd_adapters.cli.options import INPUT
from rtd_adapters.errors import RtdError
folder, config, weights = sys.argv[1:]
here, there = load_backbone(folder), load_backbone("owner/clip")
assert there.name == "owner/clip"
assert here.shape == there.shape
for name, tensor in here.tower.state_dict().items():
    assert torch.equal(tensor, there.tower.state_dict()[name]), name
there = load_backbone(config, "hf://owner/files@main/w/weights.pt")
assert there.label == config + "/hf://owner/files@main/w/weights.pt"
for name, tensor in load_backbone(config, weights).tower.state_dict().items():
    assert torch.equal(tensor, there.tower.state_dict()[name]), name
triplets = read_triplets("hf://datasets/owner/captions/t.jsonl")
print(triplets.source, len(triplets), triplets[0].target)
print(INPUT.convert("hf://owner/files/w/phi.pt", None, None).read_text())
try:
    load_backbone("owner/files")
except RtdError as error:
    print(error)
"""


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_backbones_triplets_and_projections(hub, ask, tmp_path, miniature_clip):
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    parts = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    sizes = {**parts, "num_attention_heads": 1}
    picture = {**sizes, "image_size": 32, "patch_size": 16}
    clip = CLIPModel(CLIPConfig(text_config=sizes, vision_config=picture, projection_dim=32))
    clip.save_pretrained(tmp_path / "clip")
    CLIPImageProcessor(size=32, crop_size=32).save_pretrained(tmp_path / "clip")
    code = {"modeling.py": b"raise SystemExit(9)", "pytorch_model.bin": b"no"}
    hub.add("owner/clip", contents(tmp_path / "clip") | code)
    weights = Path(miniature_clip["pretrained"])
    hub.add("owner/files", {"w/weights.pt": weights.read_bytes(), "w/phi.pt": b"phi"})
    line = {"reference_caption": "a", "conditioning_caption": "b", "target_caption": "c"}
    hub.add("datasets/owner/captions", {"t.jsonl": json.dumps(line).encode()})

    run = ask("-c", EVERYTHING, tmp_path / "clip", miniature_clip["backbone"], weights)
    assert run.returncode == 0, run.stderr
    triplets, phi, refused = run.stdout.splitlines()
    assert triplets == "t.jsonl 1 c"
    assert phi == "phi"
    assert "hf://owner/name/file as pretrained" in refused
    fetched = " ".join(hub.asked)
    assert "model.safetensors" in fetched
    assert "modeling.py" not in fetched and "pytorch_model.bin" not in fetched
