"""Pictures of anybody's: what is opened, and how."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.benchmark import image_at
from rtd_adapters.io.pictures import stored_picture, upright_picture

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
ORIENTATION = 0x0112


def encoded(image, **options):
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def test_a_picture_lies_as_its_file_has_it_or_upright():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned by a quarter, clockwise
    data = encoded(Image.fromarray(pixels), exif=exif)
    stored, upright = (
        np.asarray(read(io.BytesIO(data), "p"))[..., 0]
        for read in (stored_picture, upright_picture)
    )
    np.testing.assert_array_equal(stored, pixels)
    np.testing.assert_array_equal(upright, np.rot90(pixels, -1))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (POSTSCRIPT, "cannot identify"),
        (encoded(Image.new("L", (101, 1))), "101 x 1 pixels are too narrow"),
        (encoded(Image.new("1", (10_001, 10_000))), "10001 x 10000 pixels are more"),
        (encoded(Image.new("L", (9, 9)))[:45], "truncated"),
        (b"", "cannot identify"),
    ],
    ids=["postscript", "narrow", "large", "cut off", "empty"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_picture_that_anybody_took(data, why, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_spawn", None)  # no program is asked to draw it
    monkeypatch.setattr("subprocess.Popen", None)
    file = tmp_path / "p.jpg"
    file.write_bytes(data)
    for read in (stored_picture, upright_picture):
        with pytest.raises(FileError, match=rf"^p cannot be read as a picture \(.*{why}"):
            read(io.BytesIO(data), "p")
    with pytest.raises(FileError, match=r"p\.jpg cannot be read .* Unpack it again"):
        image_at(file)


def test_one_that_just_fits(tmp_path):
    Image.new("L", (100, 1)).save(tmp_path / "p.png")
    assert image_at(tmp_path / "p.png").size == (100, 1)
