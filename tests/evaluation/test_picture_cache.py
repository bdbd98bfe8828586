"""Kept picture embeddings: found again where nothing has changed, and never anything else."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.evaluation.benchmark import Benchmark, image_at
from rtd_adapters.evaluation.features import Pictures

IDS = ("one", "two", "three")


@pytest.fixture(scope="module")
def backbone():
    return load_backbone()


@pytest.fixture
def pictures(backbone, tmp_path):
    """Three pictures in files, and a note of each that is opened."""
    for number, name in enumerate(IDS):
        Image.new("RGB", (64, 64), (80 * number, 20, 200)).save(tmp_path / f"{name}.png")
    opened = []

    def file(image):
        return tmp_path / f"{image}.png"

    def open_image(image):
        opened.append(image)
        return image_at(file(image))

    benchmark = Benchmark("b", "val", (), open_image, lambda query, ranking: {}, image_file=file)
    made = Pictures(backbone, benchmark, "clip", 64, tmp_path / "kept", quiet=True)
    return made, opened, file


def embedded(made, ids=IDS):
    """All of them, as a run of its own has them."""
    return replace(made, held={}).embeddings(ids)[:]


def test_they_are_found_again(pictures):
    made, opened, _ = pictures
    first = embedded(made)
    assert torch.equal(embedded(made), first)
    assert opened == list(IDS)
    (path,) = made.folder.iterdir()
    assert re.fullmatch(r"[0-9a-f]{40}\.safetensors", path.name)


def test_they_are_embedded_batch_by_batch(pictures):
    made, opened, _ = pictures
    by_twos = replace(made, batch_size=2, folder=None)
    assert torch.allclose(embedded(by_twos), embedded(made), atol=1e-5)
    assert opened == [*IDS, *IDS]
    assert torch.allclose(by_twos.states(IDS).embedding, embedded(made), atol=1e-5)
    assert len(by_twos.states(IDS).tokens) == 3
    assert embedded(by_twos, []).shape == (0, made.backbone.shape.embed_dim)


@pytest.mark.parametrize("how", ["content", "time"])
def test_a_picture_that_was_changed_is_embedded_again(how, pictures):
    made, opened, file = pictures
    first = embedded(made)
    before = file("two").stat()
    Image.new("RGB", (64, 64), (1, 200, 2) if how == "time" else (250, 1, 3)).save(file("two"))
    if how == "time":  # of the same size
        os.utime(file("two"), ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    again = embedded(made)
    assert len(opened) == 6
    assert not torch.equal(again[1], first[1])
    assert torch.equal(again[0], first[0])


def test_another_image_tower_finds_nothing(pictures):
    made, opened, _ = pictures
    embedded(made)
    other = load_backbone()
    with torch.no_grad():
        next(other.model.visual.parameters()).add_(1.0)
    embedded(replace(made, backbone=other))
    assert len(opened) == 6


@pytest.mark.parametrize("place", [-1, -200, 40])
def test_a_flipped_bit_is_said_and_computed_again(place, pictures):
    made, opened, _ = pictures
    first = embedded(made)
    (path,) = made.folder.glob("*.safetensors")
    whole = path.read_bytes()
    content = bytearray(whole)
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.warns(
        UserWarning, match=f"{path.name} does not hold what was written there"
    ) as caught:
        assert torch.equal(embedded(made), first)
    assert len(opened) == 6
    assert path.read_bytes() == whole
    assert caught[0].filename == __file__  # who asked for them
