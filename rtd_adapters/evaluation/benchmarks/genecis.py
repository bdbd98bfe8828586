"""GeneCIS (Vaze et al., CVPR 2023): four tasks, a small gallery for each query.

    genecis/{focus,change}_{attribute,object}.json, and the pictures: coco/val2017/*.jpg for
    objects, vg/*.jpg (Visual Genome) for attributes.

Protocol: the target against the other members of its gallery; recall at 1, 2, 3. Pictures of the
attribute tasks are the annotated box, grown and set into a black square.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    hits,
    image_at,
    read_json,
    required,
)
from rtd_adapters.evaluation.metrics import recalls

if TYPE_CHECKING:
    from PIL.Image import Image

CUTOFFS = (1, 2, 3)
GROWTH = 0.7


def load(name: str, root: Path, split: str) -> Benchmark:
    """One of the tasks, as in `genecis-focus-attribute`."""
    task = name.removeprefix("genecis-").replace("-", "_")
    folder = "vg" if task.endswith("attribute") else "coco/val2017"
    annotations, pictures = required(root, f"genecis/{task}.json", folder)
    boxes: dict[str, Any] = {}
    queries = tuple(
        _query(row, entry, boxes, annotations) for row, entry in enumerate(read_json(annotations))
    )
    return Benchmark(
        name,
        split,
        (Part("", tuple(boxes), queries),),
        lambda image: _picture(pictures, image, boxes[image]),
        _score,
        {"gallery": "the query's own"},
        f"{name} at {root.resolve()}",
    )


def _query(row: int, entry: Mapping, boxes: dict[str, Any], path: Path) -> EvalQuery:
    def known(image: Mapping) -> str:
        box = image.get("instance_bbox")
        number = image.get("val_image_id", image.get("image_id"))
        if number is None:
            raise FileError(f"{path}: entry {row} names no picture. Fetch the annotations again.")
        identity = f"{number}" if box is None else f"{number}:{','.join(f'{v:g}' for v in box)}"
        boxes[identity] = box
        return identity

    target = known(entry["target"])
    candidates = (target, *(known(image) for image in entry["gallery"]))
    return EvalQuery(
        str(row), known(entry["reference"]), (entry["condition"],), (target,), candidates=candidates
    )


def _picture(folder: Path, identity: str, box: list[float] | None) -> Image:
    number = identity.partition(":")[0]
    if box is None:
        return image_at(folder / f"{int(number):012d}.jpg")
    return squared(image_at(folder / f"{number}.jpg"), box)


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
