"""CIRR (Liu et al., ICCV 2021), with the layout of its own repository.

    cirr/captions/cap.rc2.{val,test1}.json, cirr/image_splits/split.rc2.{val,test1}.json, and the
    pictures at the paths that the latter names, below the root.

Protocol: rank the split's whole index, take out the reference; recall at 1, 5, 10, 50. Subset: rank
the other five members of the reference's group; recall at 1, 2, 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtd_adapters.evaluation.annotations import inside, read_entries, read_object, require_known
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

CUTOFFS = (1, 5, 10, 50)
SUBSET_CUTOFFS = (1, 2, 3)
SPLITS = {"val": "val", "test": "test1"}


def load(name: str, root: Path, split: str) -> Benchmark:
    """4,181 queries of val, or 4,148 of test1, whose targets the server keeps."""
    part = SPLITS[split]
    captions, index = required(
        root, f"cirr/captions/cap.rc2.{part}.json", f"cirr/image_splits/split.rc2.{part}.json"
    )
    files = _files(root, index)
    queries = tuple(_query(entry, hidden=split == "test") for entry in read_entries(captions))
    references = (query.reference for query in queries)
    require_known(references, files, f"{index} lacks references of {captions}:")
    return Benchmark(
        name,
        split,
        (Part("", tuple(files), queries),),
        lambda image: image_at(files[image]),
        _score,
        {"reference": "taken out of the ranking"},
        f"cirr {part} at {root.resolve()}",
        files.__getitem__,
    )


def _files(root: Path, index: Path) -> dict[str, Path]:
    """The file of each picture's name."""
    names = read_object(index)
    files = {name: inside(root, names.text(name), f"{index}, {name[:80]!a}") for name in names}
    if files and not next(iter(files.values())).exists():
        required(root, *(str(path.relative_to(root)) for path in files.values()))
    return files


def _query(entry: Entry, *, hidden: bool) -> EvalQuery:
    reference, members = entry.text("reference"), entry.entry("img_set").texts("members")
    return EvalQuery(
        entry.identity("pairid"),
        reference,
        (entry.text("caption"),),
        () if hidden else (entry.text("target_hard"),),
        excluded=(reference,),
        group=tuple(member for member in members if member != reference),
    )


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    among = hits(query.targets, ranking.among(query.group))
    whole = recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
    return {**whole, **recalls("subset_recall", among, SUBSET_CUTOFFS)}
