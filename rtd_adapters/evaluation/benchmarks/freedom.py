"""Domain conversion on four datasets, as FREEDOM evaluates it (Efthymiadis et al., WACV 2025).

    {nico,minidn}/{query,database}_files.csv, {imagenet_r,ltll}/full_files.csv, as its repository
    has or makes them: lines of a picture's path below the root, a domain and a class, with spaces
    between them; the pictures at those paths.

Protocol: every picture of a domain is asked for in each other domain, by that domain's name; right
answers are all pictures of its class there. The full lists ask and are searched. AP is the area by
trapezoids; recall at K is the share of the right answers found, precision at K their share of what
K places can hold. A part is what one domain asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtd_adapters.evaluation.annotations import inside, read_rows, require_known
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    image_at,
    required,
)
from rtd_adapters.evaluation.metrics import trapezoid_average_precision


@dataclass(frozen=True)
class Dataset:
    """One of the four."""

    folder: str
    domains: Mapping[str, str]
    """As the lists name them -> as they are asked for."""
    cutoffs: tuple[int, int]
    lists: tuple[str, str] = ("query_files.csv", "database_files.csv")
    """Of what asks and of what is searched."""


FULL = ("full_files.csv", "full_files.csv")
STYLES = ("cartoon", "origami", "toy", "sculpture")
CONTEXTS = ("autumn", "grass", "outdoor", "rock", "water")
DATASETS = {
    "freedom-imagenet-r": Dataset(
        "imagenet_r", {"real": "photo", **{s: s for s in STYLES}}, (10, 50), FULL
    ),
    "freedom-nico": Dataset("nico", {"dim": "dimlight", **{c: c for c in CONTEXTS}}, (50, 100)),
    "freedom-minidn": Dataset(
        "minidn",
        {"real": "photo", "clipart": "clipart", "painting": "painting", "sketch": "sketch"},
        (50, 100),
    ),
    "freedom-ltll": Dataset("ltll", {"New": "Today", "Old": "Archive"}, (5, 10), FULL),
}


@dataclass(frozen=True)
class Picture:
    """A line of a list."""

    path: str
    domain: str
    kind: str


def load(name: str, root: Path, split: str) -> Benchmark:
    """A part for each domain that asks, over one gallery."""
    dataset = DATASETS[name]
    paths = required(root, *(f"{dataset.folder}/{file}" for file in dataset.lists))
    asked, searched = (_pictures(root, path, dataset.domains) for path in paths)
    kinds = (picture.kind for picture in searched)
    require_known((p.kind for p in asked), kinds, f"{paths[1]} lacks classes of {paths[0]}:")
    right: dict[tuple[str, str], list[str]] = defaultdict(list)
    for picture in searched:
        right[picture.domain, picture.kind].append(picture.path)
    gallery = tuple(picture.path for picture in searched)
    answers = {key: tuple(images) for key, images in right.items()}
    domains = tuple(dataset.domains.values())
    return Benchmark(
        name,
        split,
        tuple(
            Part(source, gallery, tuple(_queries(source, domains, asked, answers)))
            for source in domains
        ),
        lambda image: image_at(root / image),
        partial(_score, dataset.cutoffs),
        {"text": "the other domain's name", "reference": "stays in the gallery"},
        f"{name} at {root.resolve()}",
        root.joinpath,
    )


def _pictures(root: Path, path: Path, domains: Mapping[str, str]) -> list[Picture]:
    pictures = []
    for place, (image, domain, kind) in read_rows(path, " "):
        inside(root, image, place)
        pictures.append(Picture(image, domains.get(domain, domain), kind))
    return pictures


def _queries(
    source: str,
    domains: Sequence[str],
    asked: Sequence[Picture],
    answers: Mapping[tuple[str, str], tuple[str, ...]],
) -> list[EvalQuery]:
    return [
        EvalQuery(
            f"{source}-{target}-{row}",
            picture.path,
            (target,),
            answers.get((target, picture.kind), ()),
            target,
        )
        for target in domains
        if target != source
        for row, picture in enumerate(asked)
        if picture.domain == source
    ]


def _score(cutoffs: Sequence[int], query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    ranks = ranking.ranks(query.targets)
    found = {k: sum(rank <= k for rank in ranks) for k in cutoffs}
    possible = {k: max(min(len(ranks), k), 1) for k in cutoffs}
    return {
        "map": trapezoid_average_precision(ranks),
        **{f"recall@{k}": found[k] / max(len(ranks), 1) for k in cutoffs},
        **{f"precision@{k}": found[k] / possible[k] for k in cutoffs},
    }
