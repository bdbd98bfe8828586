"""FashionIQ (Wu et al., CVPR 2021), with the layout that SEARLE, LinCIR and RTD share.

    captions/cap.{dress,shirt,toptee}.val.json, image_splits/split.{...}.val.json, images/*.png or
    images/*.jpg

Protocol: each query has two captions, stripped of `.?, ` at both ends and joined by "and" in both
orders; the two unit embeddings are averaged. The index is the split's, the reference stays in it;
recall at 10 and 50 of each category, and their average.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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

CATEGORIES = ("dress", "shirt", "toptee")
CUTOFFS = (10, 50)
STRIPPED = ".?, "


def load(name: str, root: Path, split: str) -> Benchmark:
    """Three categories, a gallery each."""
    required(root, *(f"captions/cap.{category}.val.json" for category in CATEGORIES))
    required(root, *(f"image_splits/split.{category}.val.json" for category in CATEGORIES))
    (pictures,) = required(root, "images")
    return Benchmark(
        name,
        split,
        tuple(_part(root, category) for category in CATEGORIES),
        lambda image: image_at(_file(pictures, image)),
        _score,
        {
            "captions": "stripped of '.?, ', joined by 'and' in both orders, embeddings averaged",
            "gallery": "the split's",
            "reference": "stays in the gallery",
        },
        f"fashioniq at {root.resolve()}",
    )


def _part(root: Path, category: str) -> Part:
    gallery = read_json(root / f"image_splits/split.{category}.val.json")
    entries = read_json(root / f"captions/cap.{category}.val.json")
    queries = tuple(
        EvalQuery(
            f"{category}-{row}",
            entry["candidate"],
            joined(*entry["captions"]),
            (entry["target"],),
            category,
        )
        for row, entry in enumerate(entries)
    )
    return Part(category, tuple(gallery), queries)


def _file(pictures: Path, image: str) -> Path:
    png = pictures / f"{image}.png"
    return png if png.is_file() else pictures / f"{image}.jpg"


def joined(first: str, second: str) -> tuple[str, str]:
    """Two captions as one, in both orders."""
    first, second = first.strip(STRIPPED), second.strip(STRIPPED)
    return f"{first} and {second}", f"{second} and {first}"


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
