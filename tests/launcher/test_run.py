"""`rtd run` patches what a script loads, says where, and fails if it never did."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from shaken_patches import shaken_patch

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import Tokenizer, from_layout, to_layout, tower_from_state_dict
from rtd_adapters.export.torchscript import write_torchscript

TEXT = "a photo of a dog"
LOAD_TWICE = """
import json, sys, torch, clip
class Script:
    def load(self):
        return clip.load("clip.pt", device="cpu", jit=False)[0]
found = []
for _ in range(2):
    model = Script().load().float().eval()
    with torch.no_grad():
        found.append(model.encode_text(clip.tokenize(["a photo of a dog"])).tolist())
print(json.dumps({"found": found, "argv": sys.argv, "name": __name__}))
"""
LOAD_TRANSFORMERS = """
import json, torch
from transformers import CLIPTextModelWithProjection
model = CLIPTextModelWithProjection.from_pretrained("hf").eval()
ids = torch.load("ids.pt", weights_only=True)
with torch.no_grad():
    print(json.dumps({"found": [model(input_ids=ids).text_embeds.tolist()]}))
"""
RESUME = """
import json, torch, clip
model = clip.load("clip.pt", device="cpu", jit=False)[0].float().eval()
model.load_state_dict(model.state_dict())  # as --resume does
with torch.no_grad():
    print(json.dumps({"found": [model.encode_text(clip.tokenize(["a photo of a dog"])).tolist()]}))
"""
SWALLOW = """
import clip
try:
    clip.load("other.pt", device="cpu", jit=False)
except Exception:
    print("evaluation done")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small CLIP in three containers, a patch for it, and what base and patch compute."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    root = tmp_path_factory.mktemp("launcher")
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=16, image_size=32)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=1)
    model = CLIP(32, vision, text, quick_gelu=True)
    state = {name: tensor.half().float() for name, tensor in model.state_dict().items()}
    write_torchscript(root / "clip.pt", state)
    write_torchscript(root / "other.pt", {name: tensor * 1.01 for name, tensor in state.items()})
    hf_model(state).save_pretrained(root / "hf")
    tower = tower_from_state_dict(state, heads=1, activation="quick_gelu")
    backbone = Backbone("small", None, tower, BackboneShape(32, 64, 64), None, None)
    patch = shaken_patch(backbone)
    patch.save(root / "w.safetensors")
    ids = Tokenizer(77).encode([TEXT])
    torch.save(ids, root / "ids.pt")
    with torch.no_grad():
        torch.save({"base": tower(ids), "patched": patch.student(ids)}, root / "expected.pt")
    return root


def hf_model(state):
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=64,
        intermediate_size=256,
        projection_dim=32,
        num_hidden_layers=1,
        num_attention_heads=1,
        hidden_act="quick_gelu",
        eos_token_id=2,
    )
    model = CLIPTextModelWithProjection(config)
    model.load_state_dict(to_layout(from_layout(state)[1], "hf"))
    return model


@pytest.fixture
def launch(folder, tmp_path):
    """Runs a script under `rtd run`."""

    def run(script, *options, words=()):
        path = tmp_path / "script.py"
        path.write_text(script)
        patch = ("run", "--patch", "w.safetensors", *options, "--", "python")
        command = [sys.executable, "-m", "rtd_adapters", *patch, str(path), *words]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return run


def embeddings(outcome):
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return [torch.tensor(rows) for rows in json.loads(outcome.stdout)["found"]]


def same(found, wanted):
    return torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_every_load_is_patched_in_fp32_and_named(launch, folder):
    expected = torch.load(folder / "expected.pt", weights_only=True)
    done = launch(LOAD_TWICE, words=["--dataset", "cirr"])
    for found in embeddings(done):
        torch.testing.assert_close(found, expected["patched"], rtol=1e-5, atol=1e-5)
    assert done.stderr.count("rtd: patched: ") == 2
    assert "script.py:5 clip.load" in done.stderr
    record = json.loads(done.stdout)
    assert record["argv"][1:] == ["--dataset", "cirr"]
    assert record["name"] == "__main__"


def test_strength(launch, folder):
    expected = torch.load(folder / "expected.pt", weights_only=True)
    assert same(embeddings(launch(LOAD_TWICE, "--strength", "0"))[0], expected["base"])
    half = embeddings(launch(LOAD_TWICE, "--strength", "0.5"))[0]
    assert not same(half, expected["base"])
    assert not same(half, expected["patched"])


def test_transformers_towers_are_patched(launch, folder):
    expected = torch.load(folder / "expected.pt", weights_only=True)
    done = launch(LOAD_TRANSFORMERS)
    assert same(embeddings(done)[0], expected["patched"])
    assert "CLIPTextModelWithProjection.from_pretrained" in done.stderr


def test_weights_loaded_later_are_patched_again(launch, folder):
    """The patch holds the tower's own values, so a second application changes nothing."""
    script = RESUME.replace("model.state_dict())", "torch.load('base.pt', weights_only=True))")
    torch.save(dict(torch.jit.load(folder / "clip.pt").state_dict()), folder / "base.pt")
    expected = torch.load(folder / "expected.pt", weights_only=True)
    done = launch(script)
    assert same(embeddings(done)[0], expected["patched"])
    assert "load_state_dict" in done.stderr


def test_a_script_that_never_loads_a_clip(launch):
    done = launch("print('recall 12')")
    assert done.returncode == 1
    assert "the patch never went in" in done.stderr
    assert "clip.load" in done.stderr


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit(3)", 3), ("1 / 0", 1), ("sys.exit('x')", 1)]
)
def test_a_script_that_ends_before_loading(launch, end, status):
    done = launch(f"import sys\n{end}")
    assert done.returncode == status
    assert "the script failed" in done.stderr
    assert "places patched: 0" in done.stderr


def test_another_clip_is_refused_even_if_the_script_swallows_it(launch):
    done = launch(SWALLOW)
    assert done.returncode == 1
    assert "evaluation done" in done.stdout
    assert "other" not in done.stdout
    assert "--force" in done.stderr
    assert "Traceback" not in done.stderr
    assert launch(SWALLOW, "--force").returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bash", "x.sh"], "takes a Python command"),
        (["python"], "needs a script"),
        (["python", "nowhere.py"], "there is no script nowhere.py"),
        (["/usr/bin/other/python", "x.py"], "works inside its own Python"),
    ],
)
def test_wrong_usage(words, message, folder):
    command = [sys.executable, "-m", "rtd_adapters", "run", "-p", "w.safetensors", "--", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_repaired_encode_function_attends_causally(folder):
    """Against our tower, which equals the model's own forward; `$` takes the pseudo token."""
    from rtd_adapters.launcher.encode_repair import encode_with_pseudo_tokens

    state = torch.jit.load(folder / "clip.pt").state_dict()
    model, tower = (
        hf_model(dict(state)).eval(),
        tower_from_state_dict(dict(state), heads=1, activation="quick_gelu"),
    )
    ids = Tokenizer(77, "$").encode(["a photo of $ that is red", "$ at night"])
    pseudo = torch.randn(2, 64)
    with torch.no_grad():
        found, states = encode_with_pseudo_tokens(model, ids, pseudo, return_last_states=True)
        torch.testing.assert_close(found, tower(ids, pseudo, 259), rtol=1e-4, atol=1e-5)
        again = encode_with_pseudo_tokens(model, ids, pseudo)
        plain = model(input_ids=ids).text_embeds
    assert states.shape == (2, 77, 64)
    assert torch.equal(found, again)
    assert not torch.allclose(found, plain), "the hook is gone afterwards"


def test_what_is_loaded_after_the_script_has_ended_is_not_patched():
    """`run_script` is a function like any other: the process may go on."""
    from rtd_adapters.launcher.injection import Injection

    injection = Injection(patch=None, say=lambda line: None, over=True)
    model = torch.nn.Linear(1, 1).half()
    assert injection.hand_over(model, "clip.load") is model
    assert model.weight.dtype == torch.float16
    assert not injection.places
