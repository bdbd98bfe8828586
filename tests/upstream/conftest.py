"""A miniature CIRR, small random CLIPs, and copies of the upstream checkouts to run in.

RTD_UPSTREAMS names a folder with the checkouts under their repositories' own names. Tests whose
checkout is not there are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

IMAGES = 24
SIZE = 64
ADJECTIVES = ["red", "blue", "green", "larger", "smaller", "older", "in the rain", "on the grass"]
KEPT = ("*.py", "*.gz")
STUBS = {
    "sitecustomize": """
import argparse, os
argparse.Namespace.distributed = False  # Pic2Word and Context-I2W read it and set it only on CUDA
import torch, torch.utils.data
if os.environ.get("WITHOUT_CUDA"):
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *a, **k: self
if os.environ.get("REPAIRED"):
    # What `rtd run` does; the runs beside it need it too, or transformers 5 makes them wrong.
    from rtd_adapters.launcher.encode_repair import repair_encode
    from rtd_adapters.launcher.import_hooks import after_import
    after_import("encode_with_pseudo_tokens", lambda module: repair_encode(module, print))
_init = torch.utils.data.DataLoader.__init__
def _quick(self, *a, **k):
    k.update(num_workers=0, pin_memory=False)
    _init(self, *a, **k)
torch.utils.data.DataLoader.__init__ = _quick
""",
    "wandb": "",
    "webdataset": """
import sys, types
__path__ = []
class PipelineStage: pass
for part, names in (("filters", ("_shuffle",)), ("tariterators",
        ("base_plus_ext", "url_opener", "tar_file_expander", "valid_sample"))):
    module = sys.modules[f"webdataset.{part}"] = types.ModuleType(part)
    vars(module).update(dict.fromkeys(names))
""",
    "sklearn": """
import sys, types
__path__ = []
for part, name in (("manifold", "TSNE"), ("cluster", "KMeans")):
    module = sys.modules[f"sklearn.{part}"] = types.ModuleType(part)
    vars(module)[name] = None
""",
    "matplotlib": """
import sys, types
__path__ = []
pyplot = sys.modules["matplotlib.pyplot"] = types.ModuleType("pyplot")
""",
    "llama": "Llama = Dialog = None",
    "comet_ml": "class Experiment: pass",
    "braceexpand": "",
    "sng_parser": "",
    "torchsummary": "def summary(*a, **k): pass",
    "imagenetv2_pytorch": "",
    "pycocotools": "",
    "pyarrow": "",
}


@pytest.fixture(scope="session")
def checkout():
    """The folder of a checkout by name."""
    root = os.environ.get("RTD_UPSTREAMS")

    def find(name):
        if not root:
            pytest.skip("RTD_UPSTREAMS names no folder with upstream checkouts")
        path = Path(root) / name
        if not path.is_dir():
            pytest.skip(f"there is no checkout {name} in RTD_UPSTREAMS")
        return path

    return find


@dataclass
class World:
    """What every repository is given."""

    folder: Path
    clip: dict
    """The whole small CLIP in OpenAI's names."""
    patch: Path
    data: Path
    """Holds `cirr/` and the images, as SEARLE, LinCIR, RTD and FTI4CIR want them."""
    tokenizer: Path
    """Transformers' files of CLIP's byte pairs."""


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upstream")
    clip = small_clip()
    write_cirr(folder / "data")
    hf_tokenizer(folder / "tokenizer")
    patch = write_patch(folder / "patch.safetensors", clip)
    return World(folder, clip, patch, folder / "data", folder / "tokenizer")


def small_clip():
    """A random CLIP that OpenAI's `build_model` can build: heads of 64, QuickGELU."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=2, width=64, head_width=64, patch_size=16, image_size=SIZE)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=2)
    model = CLIP(64, vision, text, quick_gelu=True)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            norm = "ln_" in name and name.endswith("weight")
            parameter.copy_(noise * 0.15 + (1.0 if norm else 0.0))
        model.logit_scale.fill_(2.0)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def write_patch(path, clip):
    """A patch of the small CLIP that changes clearly what it finds."""
    from rtd_adapters import BackboneShape, get_method
    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.text import tower_from_state_dict
    from rtd_adapters.patch import TextEncoderPatch

    tower = tower_from_state_dict(clip, heads=1, activation="quick_gelu")
    backbone = Backbone("small", None, tower, BackboneShape(64, 64, 64), None, None)
    patch = TextEncoderPatch.create("full", backbone, get_method("searle"))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in patch.student.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    patch.save(path)
    return path


def write_cirr(root):
    """CIRR's folders: captions, image_splits, and images under dev/."""
    from PIL import Image

    names = [f"dev-{index}-0-img0" for index in range(IMAGES)]
    generator = torch.Generator().manual_seed(3)
    (root / "dev").mkdir(parents=True)
    for name in names:
        small = torch.randint(0, 256, (4, 4, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(small.numpy()).resize((SIZE, SIZE)).save(root / "dev" / f"{name}.png")
    queries = []
    for index, name in enumerate(names):
        members = [names[(index + step) % IMAGES] for step in range(6)]
        queries.append(
            {
                "pairid": index,
                "reference": name,
                "target_hard": members[1],
                "target_soft": {members[1]: 1.0},
                "caption": f"is {ADJECTIVES[index % 8]} and {ADJECTIVES[(index * 3 + 1) % 8]}",
                "img_set": {"id": index, "members": members},
            }
        )
    for part, content in (
        ("captions/cap", queries),
        ("image_splits/split", {name: f"./dev/{name}.png" for name in names}),
    ):
        path = root / "cirr" / f"{part}.rc2.val.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def hf_tokenizer(folder):
    """CLIP's byte pairs in transformers' files; the evaluation loads them and uses `clip`'s."""
    from open_clip.tokenizer import SimpleTokenizer

    bpe = SimpleTokenizer()
    folder.mkdir(parents=True)
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(token, token): index for token, index in bpe.encoder.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = sorted(bpe.bpe_ranks, key=bpe.bpe_ranks.__getitem__)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)))


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """Modules that the repositories import and their evaluation does not use."""
    folder = tmp_path_factory.mktemp("stubs")
    for name, text in STUBS.items():
        if name in ("sitecustomize",) or not importable(name):
            (folder / f"{name}.py").write_text(text)
    return folder


def importable(name):
    from importlib.util import find_spec

    return find_spec(name) is not None


@pytest.fixture
def copy(tmp_path):
    """A copy of a checkout's code, to put data and outputs beside."""

    def make(source):
        target = tmp_path / source.name
        for pattern in KEPT:
            for file in source.rglob(pattern):
                place = target / file.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
        return target

    return make


@pytest.fixture
def shell(stubs, checkout):
    """Runs Python in a folder with the stubs and OpenAI's clip, and returns what it printed."""

    def run(folder, *words, check=True, **variables):
        clip = checkout("CLIP")
        path = os.pathsep.join(map(str, (stubs, clip, Path(__file__).parents[2], folder)))
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | variables
        outcome = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return outcome

    return run


def metrics_in(text):
    """Every recall that a script printed or logged, in order."""
    found = re.findall(r"(\w*recall\w*(?:@\d+)?)['\"]?\s*[=:]\s*([\d.]+)", text)
    return [(name, float(value)) for name, value in found]


@pytest.fixture
def recalls():
    return metrics_in
