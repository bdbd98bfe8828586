"""COCO object composition, as Pic2Word prepares it (src/data.py, prepare_data.py there).

    coco_eval.csv with columns id, query_regions, query_class, classes; val2017/*.jpg, and
    val2017_masked/*.jpg, pictures in which all but the query's object is white.

Protocol: the query is the object's crop and the prompt "a photo of * and CLASS and OTHERS", which
ends in "and" where there are no others; its own full picture is the only right answer among all
rows' pictures; recall at 1, 5, 10, 50, 100.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters.errors import FileError, first_line
from rtd_adapters.evaluation.annotations import REMEDY, inside
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
from rtd_adapters.io.hashes import file_sha256

if TYPE_CHECKING:
    from PIL.Image import Image

CUTOFFS = (1, 5, 10, 50, 100)
CROP = "crop:"
LARGEST = 20_000
"""Pixels of a picture's side; a crop beyond would fill the memory."""


def load(name: str, root: Path, split: str) -> Benchmark:
    """One query for each row."""
    table, full, masked = required(root, "coco_eval.csv", "val2017", "val2017_masked")
    rows = _rows(table)
    regions = {f"{CROP}{row.text('id')}": _region(row) for row in rows}

    def file(image: str) -> Path:
        return masked / image.removeprefix(CROP) if image in regions else full / image

    def picture(image: str) -> Image:
        opened = image_at(file(image))
        return opened.crop(regions[image]) if image in regions else opened

    gallery = tuple(dict.fromkeys(row.text("id") for row in rows))
    return Benchmark(
        name,
        split,
        (Part("", gallery, tuple(_query(number, row) for number, row in enumerate(rows))),),
        picture,
        _score,
        {"query": "the object's crop of the masked picture"},
        f"coco composition at {root.resolve()}, crops of {file_sha256(table)}",
        file,
    )


def _rows(table: Path) -> list[Entry]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = [Entry(f"{table}, line {reader.line_num}", row, REMEDY) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{table} is damaged: {first_line(error)}. Make it again.") from error
    for row in rows:
        inside(table.parent, row.text("id"), row.place)
    return rows


def _region(row: Entry) -> tuple[int, int, int, int]:
    """The object's corners in the masked picture: left, top, right, bottom."""
    try:
        left, top, right, bottom = (int(float(v)) for v in row.text("query_regions").split(";"))
    except (ValueError, OverflowError):
        row.refuse("'query_regions' is no left;top;right;bottom")
    if not -LARGEST < left < right < LARGEST or not -LARGEST < top < bottom < LARGEST:
        row.refuse("'query_regions' is no region of a picture")
    return left, top, right, bottom


def _query(number: int, row: Entry) -> EvalQuery:
    own, image = row.text("query_class"), row.text("id")
    ending = f"{own} and {row.text('classes').replace(';', ' and ')}"
    return EvalQuery(
        str(number),
        f"{CROP}{image}",
        (ending,),
        (image,),
        own,
        bare=("a photo of", f" and {ending}"),
    )


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
