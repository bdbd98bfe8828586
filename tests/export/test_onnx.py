"""ONNX files, computed by onnxruntime, against torch: every kind of tower, and a whole query."""

from __future__ import annotations

import os
import random
import string
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from shaken_patches import shaken_patch
from tiny_towers import TINY
from tower_case import PLACEHOLDER

from rtd_adapters import (
    Backbone,
    BackboneShape,
    CompositionEncoder,
    ExportJob,
    FileError,
    PatchError,
    UsageError,
    export_patch,
    get_method,
    load_backbone,
)
from rtd_adapters.clip.text import Tokenizer, find_tower
from rtd_adapters.clip.text.config import KNOWN
from rtd_adapters.evaluation.benchmark import load_benchmark
from rtd_adapters.export import onnx_programs
from rtd_adapters.export.onnx_programs import ProjectionProgram, TextTowerProgram, write_program
from rtd_adapters.export.onnx_tokenizer import can_be_written, write_tokenizer

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
TOLERANCE = 1e-4
KINDS = (
    "OpenAI clip",
    "open_clip MetaCLIP 2, mT5's tokens",
    "open_clip SigLIP 2",
    "open_clip CoCa",
    "open_clip RoBERTa",
    "open_clip RoBERTa, linear, first",
    "open_clip mT5, linear",
    "open_clip SigLIP without projection",
    "Long-CLIP",
)
"""Of the tiny towers, so many that every variant of every part is among them."""


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def towers():
    torch.manual_seed(0)
    return {name: (case := TINY[name](), case.tower()) for name in KINDS}


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", KINDS)
def test_a_text_tower_in_onnxruntime(name, towers, tmp_path):
    """Any batch, any number of pseudo tokens, any length that the tower reads."""
    if "mT5" in name and torch.__version__.startswith("2.6."):
        pytest.skip("torch 2.6 follows no linear layer without bias")
    case, tower = towers[name]
    program = TextTowerProgram(tower, Tokenizer(case.context_length, "$", None, tower.vocabulary))
    write_program(tmp_path / "tower.onnx", program, {"placeholder_id": str(PLACEHOLDER)})
    loaded = session(tmp_path / "tower.onnx")
    for rows, count in ((5, 3), (1, 1), (2, 4)):
        ids = case.ids(min(count, 3))[:rows]
        tokens = torch.randn(rows, count, tower.config.width)
        for asked in (ids, tower.trimmed(ids)):
            wanted = tower(asked, tokens, PLACEHOLDER)
            fed = {"ids": asked.numpy(), "pseudo_tokens": tokens.numpy()}
            (found,) = loaded.run(["text_embedding"], fed)
            assert np.abs(found - wanted.numpy()).max() <= TOLERANCE * wanted.abs().max().item()
    plain = case.ids(1)
    zeros = np.zeros((len(plain), 1, tower.config.width), np.float32)
    (found,) = loaded.run(None, {"ids": plain.numpy(), "pseudo_tokens": zeros})
    wanted = tower(plain).numpy()
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def test_a_patch_of_another_tower_than_clips(towers, monkeypatch, tmp_path):
    case, tower = towers["open_clip SigLIP 2"]
    shape = BackboneShape(tower.config.embed_dim, tower.config.width, 0)
    layout = find_tower(case.model).layout
    own = Backbone("tiny", None, tower, shape, None, None, layout=layout)
    patch = patch_for(own)
    monkeypatch.setattr("rtd_adapters.export.onnx._backbone", lambda job: own)
    with pytest.raises(PatchError, match="builds its text tower as CLIP's"):
        export_patch(ExportJob(patch, tmp_path / "clip.pt"), "rtd")
    export_patch(ExportJob(patch, tmp_path / "out"), "onnx")
    assert [file.name for file in (tmp_path / "out").glob("[!.]*")] == ["text_tower.onnx"]
    about = session(tmp_path / "out" / "text_tower.onnx").get_modelmeta().custom_metadata_map
    assert about["rtd.tokenizer_file"] == "none: use the backbone's own"
    assert about["rtd.fixed_length"] == "true"
    ids, tokens = case.ids(1), torch.randn(5, 1, tower.config.width)
    fed = {"ids": ids.numpy(), "pseudo_tokens": tokens.numpy()}
    (found,) = session(tmp_path / "out" / "text_tower.onnx").run(None, fed)
    with torch.no_grad():
        wanted = patch.student(ids, tokens, PLACEHOLDER).numpy()
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def test_every_variant_of_a_tower_is_among_them(towers):
    built = [tower.config for _, tower in towers.values()]
    for part, variants in KNOWN.items():
        assert {getattr(config, part) for config in built} == set(variants), part


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("demo")


def patch_for(backbone, method="searle"):
    made = shaken_patch(backbone, 0.01, method)
    made.fit(type("Trained", (), {"train": lambda *_: None})())
    return made


@pytest.fixture(scope="module")
def patch(backbone):
    return patch_for(backbone)


@pytest.fixture(scope="module")
def folder(patch, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "searle"
    done = export_patch(ExportJob(patch, out, strength=0.5), "onnx")
    assert done.use == f"onnxruntime.InferenceSession('{out}/text_tower.onnx')"
    return out


def test_a_composed_query_by_onnxruntime_and_numpy(folder, patch):
    benchmark = load_benchmark("demo")
    pictures = [benchmark.open_image(image) for image in benchmark.parts[0].gallery[:3]]
    texts = ["is red", "is blue", "has two large stars"]
    encoder = CompositionEncoder.load("searle", patch=patch, strength=0.5, device="cpu")
    wanted = encoder.encode_composed(pictures, texts)
    embeddings = encoder.see(pictures).embedding.numpy()

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tower, phi = session(folder / "text_tower.onnx"), session(folder / "projection.onnx")
    about = tower.get_modelmeta().custom_metadata_map
    prompts = [about["rtd.composed_prompt"].format(text=text) for text in texts]
    ids = np.array([encoding.ids for encoding in tokenizer.encode_batch(prompts)])
    tokens = phi.run(None, {"image_embedding": embeddings})[0]
    queries = tower.run(None, {"ids": ids, "pseudo_tokens": tokens})[0]
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    np.testing.assert_allclose(queries, wanted, atol=TOLERANCE)
    assert not np.allclose(queries, encoder.at(1).encode_composed(pictures, texts), atol=1e-3)


def test_metadata_say_how_it_is_asked(folder, patch, backbone):
    about = session(folder / "text_tower.onnx").get_modelmeta().custom_metadata_map
    tokenizer = get_method("searle").tokenizer(backbone.tower)
    assert about["rtd.placeholder"] == "$"
    assert int(about["rtd.placeholder_id"]) == tokenizer.placeholder_id
    assert int(about["rtd.context_length"]) == backbone.tower.config.context_length
    assert int(about["rtd.pad_id"]) == tokenizer.vocabulary.pad_id
    assert about["rtd.tokenizer"] == "OpenAI's byte pairs"
    assert about["rtd.patch_sha256"] == patch.metadata.fingerprint["fp32"]
    assert about["rtd.base_sha256"] == patch.metadata.base_fingerprint["fp32"]
    assert (about["rtd.strength"], about["rtd.projection"]) == ("0.5", "projection.onnx")
    assert (about["rtd.method"], about["rtd.backbone"]) == ("searle", "demo")
    for file in folder.glob("*.onnx"):
        assert str(Path.cwd()).encode() not in file.read_bytes()


@torch.no_grad()
@pytest.mark.parametrize("name", ["searle", "lincir", "pic2word"])
def test_projections(name, tmp_path):
    method, shape = get_method(name), BackboneShape(24, 32, 0)
    torch.manual_seed(0)
    projection = method.build_projection(shape)
    write_program(tmp_path / "phi.onnx", ProjectionProgram(method, projection, shape), {})
    embeddings = torch.randn(7, 24)
    (found,) = session(tmp_path / "phi.onnx").run(None, {"image_embedding": embeddings.numpy()})
    wanted = projection.eval()(embeddings)[:, None]
    np.testing.assert_allclose(found, wanted.numpy(), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fti4cir", "fti4cir reads an image tower's states"),
        ("context_i2w", "context_i2w reads an image tower's states"),
        ("keds", "keds composes its queries itself"),
    ],
)
def test_projections_that_are_no_function_of_the_embedding(name, why, backbone, tmp_path):
    patch = patch_for(backbone, name)
    job = ExportJob(patch, tmp_path / "out", projection=tmp_path / "phi.pt")
    with pytest.raises(UsageError, match=f"{why}, which ONNX cannot hold"):
        export_patch(job, "onnx")
    assert not (tmp_path / "out").exists()


def test_a_tower_goes_without_a_projection_that_cannot(backbone, tmp_path):
    export_patch(ExportJob(patch_for(backbone, "keds"), tmp_path / "out"), "onnx")
    assert not (tmp_path / "out" / "projection.onnx").exists()
    about = session(tmp_path / "out" / "text_tower.onnx").get_modelmeta().custom_metadata_map
    assert about["rtd.projection"] == "none: keds composes its queries itself"
    assert about["rtd.placeholder"] == "*"
    assert (tmp_path / "out" / "tokenizer.json").exists()


def test_the_tokenizer_is_open_clips(tmp_path):
    """On texts that need no repair, with the placeholder and without, cut and padded."""
    own = Tokenizer(32, "$")
    write_tokenizer(tmp_path / "tokenizer.json", own)
    fast = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    draw = random.Random(0)
    signs = [sign for sign in string.printable if sign.isprintable() and sign != "&"]
    spoken = "a photo of $ that is red it's DON'T they'll 1995 $5 ..."
    words = [*spoken.split(), "Ünïcode", "straße", "東京", "🙂"]
    texts = ["", "word " * 100]
    for _ in range(1000):
        texts.append("".join(draw.choices(signs, k=draw.randrange(60))))
        texts.append(" ".join(draw.choices(words, k=draw.randrange(40))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that texts are cut
        wanted = own.encode(texts).tolist()
    assert [encoding.ids for encoding in fast.encode_batch(texts)] == wanted


def test_tokenizers_that_are_no_plain_byte_pairs_are_not_written(towers):
    own = Tokenizer(20, "$", None, towers["open_clip SigLIP 2"][1].vocabulary)
    assert not can_be_written(own)
    assert not can_be_written(Tokenizer(77, "<|replace|>", "<|replace|>"))


def small_program():
    method, shape = get_method("searle"), BackboneShape(24, 32, 0)
    return ProjectionProgram(method, method.build_projection(shape), shape)


def test_large_weights_lie_beside_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_programs, "ONE_FILE", 1000)
    write_program(tmp_path / "phi.onnx", small_program(), {})
    assert (tmp_path / "phi.onnx.data").stat().st_size > 4 * 24 * 96


def test_what_onnxruntime_computes_otherwise_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_programs, "TOLERANCE", 1e-12)
    with pytest.raises(PatchError, match="computes something else than torch"):
        write_program(tmp_path / "phi.onnx", small_program(), {})


def test_what_torch_cannot_follow_is_refused(tmp_path):
    class Branching(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    program = ProjectionProgram(get_method("searle"), Branching(24, 24), BackboneShape(24, 24, 0))
    with pytest.raises(PatchError, match="ProjectionProgram"):
        write_program(tmp_path / "phi.onnx", program, {})


@pytest.mark.parametrize("number", [0, 1])
def test_a_failure_leaves_nothing(number, patch, monkeypatch, tmp_path):
    """Of the first file or of the second, and a disk that is full at the end."""
    written = []

    def write(path, program, about):
        path.write_bytes(b"onnx")
        written.append(path)
        if len(written) > number:
            raise PatchError("it computes something else")

    monkeypatch.setattr(onnx_programs, "write_program", write)
    with pytest.raises(PatchError, match="something else"):
        export_patch(ExportJob(patch, tmp_path / "out"), "onnx")
    assert written and not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(patch, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(onnx_programs, "write_program", lambda path, *_: path.write_bytes(b"onnx"))
    with pytest.raises(FileError, match="No space left"):
        export_patch(ExportJob(patch, tmp_path / "out"), "onnx")
    assert not list(tmp_path.iterdir())


def test_another_backbone_is_refused(patch, tmp_path):
    other = patch_for(load_backbone("demo-gap"))
    other.metadata.backbone = "demo"
    with pytest.raises(PatchError, match="trained for"):
        export_patch(ExportJob(other, tmp_path / "out"), "onnx")


def test_a_missing_extra_is_named(patch, monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_programs, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "rtd-adapters\[onnx\]"'):
        export_patch(ExportJob(patch, tmp_path / "out"), "onnx")


def test_the_exporter_is_listed_without_torch_and_onnx():
    code = "import sys, rtd_adapters.export.onnx; print({'torch', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
