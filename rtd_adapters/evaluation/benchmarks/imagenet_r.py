"""Domain conversion on ImageNet and ImageNet-R, as Pic2Word evaluates it.

    imgnet/imgnet_real_query.txt and imgnet/imgnet_targets.txt: lines of a path below the root and
    a label. A target's label is its class plus 1000 times its domain: cartoon 0, origami 1, toy 2,
    sculpture 3, and 6 for real pictures, which only distract.

Protocol: every real picture is asked for in each of the four domains ("a cartoon of *"); right
answers are all targets of its class in that domain. Recall at K is the share of the right answers
found (0 where there are none), precision at K the share of right ones among K; K is 1, 5, 10, 50,
100, 200.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from rtd_adapters.errors import FileError, first_line
from rtd_adapters.evaluation.annotations import inside
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    hits,
    image_at,
    required,
)

CUTOFFS = (1, 5, 10, 50, 100, 200)
LISTS = ("imgnet/imgnet_real_query.txt", "imgnet/imgnet_targets.txt")
DOMAINS = ("cartoon", "origami", "toy", "sculpture")
SHIFT = 1000
LABEL = re.compile(r"[0-9]{1,6}")


def load(name: str, root: Path, split: str) -> Benchmark:
    """Four parts, a domain each, over one gallery."""
    asked, answers = (_labelled(root, path) for path in required(root, *LISTS))
    right: dict[int, list[str]] = defaultdict(list)
    for path, label in answers:
        right[label].append(path)
    gallery = tuple(path for path, _ in answers)
    parts = tuple(
        Part(domain, gallery, tuple(_queries(asked, right, number)))
        for number, domain in enumerate(DOMAINS)
    )
    return Benchmark(
        name,
        split,
        parts,
        lambda image: image_at(root / image),
        _score,
        {"recall": "share of all right answers that are found"},
        f"imagenet-r at {root.resolve()}",
        root.joinpath,
        depth=max(CUTOFFS),
    )


def _queries(
    asked: list[tuple[str, int]], right: Mapping[int, list[str]], domain: int
) -> list[EvalQuery]:
    name = DOMAINS[domain]
    return [
        EvalQuery(
            f"{name}-{row}",
            path,
            (name,),
            tuple(right.get(label + SHIFT * domain, ())),
            name,
            bare=(f"a {name} of", ""),
        )
        for row, (path, label) in enumerate(asked)
    ]


def _labelled(root: Path, path: Path) -> list[tuple[str, int]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read: {first_line(error)}. Unpack it again.") from error
    labelled = []
    for number, line in enumerate(lines, start=1):
        picture, _, label = line.strip().rpartition(" ")
        if not picture or not LABEL.fullmatch(label):
            raise FileError(
                f"{path}, line {number}: expected a path and a label, got {line[:80]!r}."
            )
        inside(root, picture, f"{path}, line {number}")
        labelled.append((picture, int(label)))
    return labelled


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    right = hits(query.targets, ranking.top(max(CUTOFFS)))
    shares = {f"recall@{k}": sum(right[:k]) / max(len(query.targets), 1) for k in CUTOFFS}
    return {**shares, **{f"precision@{k}": sum(right[:k]) / k for k in CUTOFFS}}
