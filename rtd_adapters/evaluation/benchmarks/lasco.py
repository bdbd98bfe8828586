"""LaSCo (Levy et al., AAAI 2024): pictures of COCO, texts made of the questions of VQA 2.0.

    lasco_val.json, lasco_val_corpus.json (levymsn/LaSCo, downloads/), and val2014/*.jpg of COCO

Protocol: rank the whole list of pictures, the reference included; recall at 1, 5, 10, 50, 100. The
authors publish no evaluation code: docs/evaluation.md says whose code this follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

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

CUTOFFS = (1, 5, 10, 50, 100)
LISTS = ("lasco_val.json", "lasco_val_corpus.json")
PICTURES = "val2014"


def load(name: str, root: Path, split: str) -> Benchmark:
    """30,037 queries over 39,826 pictures. References need not be among these."""
    asked, corpus, pictures = required(root, *LISTS, PICTURES)

    def file(image: str) -> Path:
        return pictures / _file_name(image)

    gallery = tuple(
        _image(row, "id", row.identity("id"), row.text("path")) for row in read_entries(corpus)
    )
    queries = tuple(_query(row, entry) for row, entry in enumerate(read_entries(asked)))
    return Benchmark(
        name,
        split,
        (Part("", gallery, queries),),
        lambda image: image_at(file(image)),
        _score,
        {"reference": "stays in the gallery"},
        f"lasco at {root.resolve()}",
        file,
    )


def _query(row: int, entry: Entry) -> EvalQuery:
    """Named by its row too: a question of VQA may have been made into several queries."""
    reference, target = (_pair(entry, name) for name in ("query-image", "target-image"))
    identity = f"{row}-{entry.identity('qid')}"
    return EvalQuery(identity, reference, (entry.text("query-text"),), (target,))


def _pair(entry: Entry, name: str) -> str:
    """A picture that a query names by its number and its path."""
    pair = entry.identities(name)
    if len(pair) != 2:
        entry.refuse(f"{name!r} has {len(pair)} parts, where a number and a path belong")
    return _image(entry, name, *pair)


def _image(entry: Entry, name: str, number: str, path: str) -> str:
    """The picture's number. Its file is named by it, and the path must say the same: the corpus
    writes val/val2014/FILE, the queries val2014/FILE."""
    image = str(int(picture_number(entry, name, number)))
    if PurePosixPath(path).parts[-2:] != (PICTURES, _file_name(image)):
        entry.refuse(
            f"it names {path[:80]!a} for picture {image}, where {PICTURES}/{_file_name(image)} "
            "belongs"
        )
    return image


def _file_name(image: str) -> str:
    return f"COCO_val2014_{int(image):012d}.jpg"


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
