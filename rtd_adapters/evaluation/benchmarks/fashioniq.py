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

from rtd_adapters.evaluation.annotations import inside, read_entries, read_names
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

CATEGORIES = ("dress", "shirt", "toptee")
CUTOFFS = (10, 50)
STRIPPED = ".?, "


def load(name: str, root: Path, split: str) -> Benchmark:
    """Three categories, a gallery each."""
    required(root, *(f"captions/cap.{category}.val.json" for category in CATEGORIES))
    required(root, *(f"image_splits/split.{category}.val.json" for category in CATEGORIES))
    (pictures,) = required(root, "images")

    def file(image: str) -> Path:
        return _file(pictures, image)

    return Benchmark(
        name,
        split,
        tuple(_part(root, category) for category in CATEGORIES),
        lambda image: image_at(file(image)),
        _score,
        {
            "captions": "stripped of '.?, ', joined by 'and' in both orders, embeddings averaged",
            "gallery": "the split's",
            "reference": "stays in the gallery",
        },
        f"fashioniq at {root.resolve()}",
        file,
    )


def _part(root: Path, category: str) -> Part:
    index = root / f"image_splits/split.{category}.val.json"
    gallery = read_names(index)
    entries = read_entries(root / f"captions/cap.{category}.val.json")
    queries = tuple(_query(category, row, entry) for row, entry in enumerate(entries))
    for image in gallery:
        inside(root, image, str(index))
    return Part(category, gallery, queries)


def _query(category: str, row: int, entry: Entry) -> EvalQuery:
    reference, captions = entry.text("candidate"), entry.texts("captions")
    inside(Path(), reference, entry.place)
    if len(captions) != 2:
        entry.refuse(f"it has {len(captions)} captions, where two belong")
    texts = joined(*captions)
    return EvalQuery(f"{category}-{row}", reference, texts, (entry.text("target"),), category)


def _file(pictures: Path, image: str) -> Path:
    png = pictures / f"{image}.png"
    return png if png.is_file() else pictures / f"{image}.jpg"


def joined(first: str, second: str) -> tuple[str, str]:
    """Two captions as one, in both orders."""
    first, second = first.strip(STRIPPED), second.strip(STRIPPED)
    return f"{first} and {second}", f"{second} and {first}"


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
