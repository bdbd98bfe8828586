"""GeneCIS (Vaze et al., CVPR 2023): four tasks, a small gallery for each query.

    genecis/{focus,change}_{attribute,object}.json, and the pictures: coco/val2017/*.jpg for
    objects, vg/*.jpg (Visual Genome) for attributes.

Protocol: the target against the other members of its gallery; recall at 1, 2, 3. Pictures of the
attribute tasks are the annotated box, grown and set into a black square.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.annotations import picture_number, read_entries
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    hits,
    image_at,
    required,
)
from rtd_adapters.evaluation.metrics import recalls
from rtd_adapters.io.entries import Entry

if TYPE_CHECKING:
    from PIL.Image import Image

CUTOFFS = (1, 2, 3)
GROWTH = 0.7


def load(name: str, root: Path, split: str) -> Benchmark:
    """One of the tasks, as in `genecis-focus-attribute`."""
    task = name.removeprefix("genecis-").replace("-", "_")
    folder = "vg" if task.endswith("attribute") else "coco/val2017"
    annotations, pictures = required(root, f"genecis/{task}.json", folder)
    boxes: dict[str, list[float] | None] = {}
    entries = enumerate(read_entries(annotations))
    queries = tuple(_query(row, entry, boxes) for row, entry in entries)

    def file(image: str) -> Path:
        return _file(pictures, image, whole=boxes[image] is None)

    return Benchmark(
        name,
        split,
        (Part("", tuple(boxes), queries),),
        lambda image: _picture(file(image), boxes[image]),
        _score,
        {"gallery": "the query's own"},
        f"{name} at {root.resolve()}",
        file,
    )


def _query(row: int, entry: Entry, boxes: dict[str, list[float] | None]) -> EvalQuery:
    def known(image: Entry) -> str:
        number, box = _number(image), _box(image)
        identity = f"{number}" if box is None else f"{number}:{','.join(f'{v:g}' for v in box)}"
        boxes[identity] = box
        return identity

    target = known(entry.entry("target"))
    candidates = (target, *map(known, entry.entries("gallery")))
    reference, condition = known(entry.entry("reference")), entry.text("condition")
    return EvalQuery(str(row), reference, (condition,), (target,), candidates=candidates)


def _number(image: Entry) -> str:
    """Of the picture; a file is named by it."""
    name = "val_image_id" if "val_image_id" in image else "image_id"
    return picture_number(image, name, image.identity(name))


def _box(image: Entry) -> list[float] | None:
    """Of the object in the picture: x, y, width, height."""
    if "instance_bbox" not in image:
        return None
    box = image.numbers("instance_bbox")
    if len(box) != 4 or min(box[2:]) < 1:
        image.refuse(f"'instance_bbox' is {str(box)[:80]}, no x, y, width and height")
    return box


def _file(folder: Path, identity: str, *, whole: bool) -> Path:
    number = identity.partition(":")[0]
    return folder / (f"{int(number):012d}.jpg" if whole else f"{number}.jpg")


def _picture(file: Path, box: list[float] | None) -> Image:
    picture = image_at(file)
    if box is None:
        return picture
    x, y, width, height = box
    if x - GROWTH * width >= picture.width or y - GROWTH * height >= picture.height:
        raise FileError(f"{file} is smaller than the annotations say. Fetch both again.")
    return squared(picture, box)


def squared(image: Image, box: list[float]) -> Image:
    """The box [x, y, width, height], grown up and left by 0.7 of its size, on a black square.

    Where the picture's edge cuts the growth off, the box grows down and right by what is lost, as
    in the benchmark's own code (datasets/vaw_dataset.py).
    """
    from PIL import Image as images

    x, y, width, height = box
    left, top = max(0, x - GROWTH * width), max(0, y - GROWTH * height)
    right = min(image.width, left + (1 + GROWTH) * width)
    bottom = min(image.height, top + (1 + GROWTH) * height)
    crop = image.crop((left, top, right, bottom))
    side = max(crop.size)
    square = images.new("RGB", (side, side))
    square.paste(crop, ((side - crop.width) // 2, (side - crop.height) // 2))
    return square


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
