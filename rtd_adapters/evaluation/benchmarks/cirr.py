"""CIRR (Liu et al., ICCV 2021), with the layout of its own repository.

    cirr/captions/cap.rc2.{val,test1}.json, cirr/image_splits/split.rc2.{val,test1}.json, and the
    pictures at the paths that the latter names, below the root.

Protocol: rank the split's whole index, take out the reference; recall at 1, 5, 10, 50. Subset: rank
the other five members of the reference's group; recall at 1, 2, 3.
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

CUTOFFS = (1, 5, 10, 50)
SUBSET_CUTOFFS = (1, 2, 3)
SPLITS = {"val": "val", "test": "test1"}


def load(name: str, root: Path, split: str) -> Benchmark:
    """4,181 queries of val, or 4,148 of test1, whose targets the server keeps."""
    part = SPLITS[split]
    captions, index = required(
        root, f"cirr/captions/cap.rc2.{part}.json", f"cirr/image_splits/split.rc2.{part}.json"
    )
    paths: dict[str, str] = read_json(index)
    queries = tuple(_query(entry) for entry in read_json(captions))
    if paths:
        required(root, next(iter(paths.values())))
    return Benchmark(
        name,
        split,
        (Part("", tuple(paths), queries),),
        lambda image: image_at(root / paths[image]),
        _score,
        {"reference": "taken out of the ranking"},
        f"cirr {part} at {root.resolve()}",
    )


def _query(entry: Mapping) -> EvalQuery:
    target = entry.get("target_hard")
    reference, members = entry["reference"], entry["img_set"]["members"]
    return EvalQuery(
        str(entry["pairid"]),
        reference,
        (entry["caption"],),
        (target,) if target else (),
        excluded=(reference,),
        group=tuple(member for member in members if member != reference),
    )


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    among = hits(query.targets, ranking.among(query.group))
    whole = recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
    return {**whole, **recalls("subset_recall", among, SUBSET_CUTOFFS)}
