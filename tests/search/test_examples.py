"""The scripts in examples/search and the README's ten lines, run as a reader runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from shaken_patches import shaken_patch

from rtd_adapters import (
    CompositionEncoder,
    ExportJob,
    export_patch,
    load_backbone,
)
from rtd_adapters.evaluation.benchmark import load_benchmark

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "examples" / "search"
TEXT = "is red"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with 70 pictures, a query, and a patch that changes what is found."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "pictures" / "more").mkdir(parents=True)
    benchmark = load_benchmark("demo")
    for place, image in enumerate(benchmark.parts[0].gallery[:70]):
        below = "more" if place % 2 else ""
        benchmark.open_image(image).save(folder / "pictures" / below / f"{place:02}.png")
    benchmark.open_image(benchmark.parts[0].gallery[80]).save(folder / "query.png")
    patch = shaken_patch(load_backbone("demo"), 0.05)
    patch.fit(type("Trained", (), {"train": lambda *_: None})())
    patch.save(folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def encoder(world):
    return CompositionEncoder.load("searle", patch=world / "weights.safetensors", device="cpu")


@pytest.fixture(scope="module")
def wanted(world, encoder):
    """Files, best first, by numpy: for base and patched encoder."""
    from PIL import Image

    files = sorted((world / "pictures").rglob("*.png"))
    gallery = encoder.encode_images(Image.open(file) for file in files)
    names = np.array([file.relative_to(world / "pictures").as_posix() for file in files])
    found = {}
    for name, strength in (("base", 0.0), ("patched", 1.0)):
        query = encoder.at(strength).encode_composed([Image.open(world / "query.png")], [TEXT])
        found[name] = names[np.argsort(-(query @ gallery.T)[0])].tolist()
    assert found["base"][:5] != found["patched"][:5]
    return found


def run(world, *arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=world,
        env={**os.environ, "RTD_CACHE": str(world / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_own_folder(world, wanted):
    pytest.importorskip("lancedb", reason="the extra search is not installed")
    given = ("pictures", "--image", "query.png", "--text", TEXT, "--patch", "weights.safetensors")
    first = run(world, SCRIPTS / "own_folder.py", *given)
    found = re.findall(r"^(\w+)|^  \d\. (\S+)", first, flags=re.MULTILINE)
    assert [name or file for name, file in found] == [
        "base",
        *wanted["base"][:5],
        "patched",
        *wanted["patched"][:5],
    ]
    assert run(world, SCRIPTS / "own_folder.py", *given) == first


@pytest.mark.slow
def test_store(world, wanted, encoder):
    pytest.importorskip("lancedb", reason="the extra search is not installed")
    given = ("--image", "query.png", "--text", TEXT, "--patch", "weights.safetensors")
    told = run(world, SCRIPTS / "store.py", "pictures", *given)
    lines = dict(line.split(": ", maxsplit=1) for line in told.splitlines())
    assert lines["composed"].split() == lines["png only"].split() == wanted["patched"][:5]
    assert len(lines["plain text"].split()) == 5
    (again,) = (text for name, text in lines.items() if name.startswith("from "))
    assert len(again.split()) == 5


@pytest.mark.slow
def test_onnx_serving(world, encoder):
    """Torch is not imported, and queries are the encoder's."""
    from PIL import Image

    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    export_patch(ExportJob(encoder.patch, world / "exported"), "onnx")
    seen = encoder.see([Image.open(world / "query.png")])
    np.save(world / "embeddings.npy", seen.embedding.numpy())
    text = f"{TEXT} for $"  # whose sign is taken out
    arguments = ("exported", "embeddings.npy", text, "--out", "query.npy")
    run(world, SCRIPTS / "onnx_serving.py", *arguments)
    asked = encoder.encode_composed(seen, [text])
    np.testing.assert_allclose(np.load(world / "query.npy"), asked, atol=1e-4)
    serving = (
        "import sys, pathlib, onnx_serving\n"
        "composer = onnx_serving.Composer(pathlib.Path('exported'))\n"
        "assert 'torch' not in sys.modules\n"
        "import numpy; numpy.save('plain.npy', composer.plain(['a red star', 'for $ 5']))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", serving], cwd=world, env=environment, check=True)
    with torch.no_grad():
        tower = encoder.tower
        plain = tower(tower.tokenizer().encode(["a red star", "for $ 5"]))
    plain = torch.nn.functional.normalize(plain, dim=-1).numpy()
    np.testing.assert_allclose(np.load(world / "plain.npy"), plain, atol=1e-4)


@pytest.mark.slow
def test_the_ten_lines(world, encoder, tmp_path):
    from PIL import Image

    pytest.importorskip("lancedb", reason="the extra search is not installed")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (lines,) = (block for block in blocks if "lancedb" in block)
    code = [line for line in lines.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(code) <= 10
    for name in ("pictures", "query.png", "weights.safetensors"):
        (tmp_path / name).symlink_to(world / name)
    told = run(tmp_path, "-c", lines)
    files = sorted((world / "pictures").glob("*.png"))
    gallery = encoder.encode_images(Image.open(file) for file in files)
    query = encoder.encode_composed([Image.open(world / "query.png")], [TEXT])
    best = [files[place].name for place in np.argsort(-(query @ gallery.T)[0])[:5]]
    assert re.findall(r"'file': '(\S+)'", told) == best
