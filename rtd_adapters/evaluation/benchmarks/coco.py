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

if TYPE_CHECKING:
    from PIL.Image import Image

CUTOFFS = (1, 5, 10, 50, 100)
CROP = "crop:"


def load(name: str, root: Path, split: str) -> Benchmark:
    """One query for each row."""
    table, full, masked = required(root, "coco_eval.csv", "val2017", "val2017_masked")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    regions = {f"{CROP}{row['id']}": row["query_regions"] for row in rows}

    def picture(image: str) -> Image:
        if image not in regions:
            return image_at(full / image)
        left, top, right, bottom = (int(float(v)) for v in regions[image].split(";"))
        return image_at(masked / image.removeprefix(CROP)).crop((left, top, right, bottom))

    gallery = tuple(dict.fromkeys(row["id"] for row in rows))
    return Benchmark(
        name,
        split,
        (Part("", gallery, tuple(_query(number, row) for number, row in enumerate(rows))),),
        picture,
        _score,
        {"query": "the object's crop of the masked picture"},
        f"coco composition at {root.resolve()}",
    )


def _query(number: int, row: Mapping[str, str]) -> EvalQuery:
    own = row["query_class"]
    ending = f"{own} and {row['classes'].replace(';', ' and ')}"
    return EvalQuery(
        str(number),
        f"{CROP}{row['id']}",
        (ending,),
        (row["id"],),
        own,
        bare=("a photo of", f" and {ending}"),
    )


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
