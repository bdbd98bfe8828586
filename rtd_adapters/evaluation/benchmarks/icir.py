"""i-CIR (Psomas et al., NeurIPS 2025): one object, changed, among its look-alikes.

    icir/query_files.csv and icir/database_files.csv, without a header: lines of a picture's path
    below the root, a text, and an instance; the pictures at those paths.

Protocol: a query ranks the database of its own instance; right answers are the rows with its text.
AP is the area by trapezoids, mAP its mean over all queries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
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

LISTS = ("icir/query_files.csv", "icir/database_files.csv")


def load(name: str, root: Path, split: str) -> Benchmark:
    """1,883 queries over some 750,000 pictures, of which each ranks those of its instance."""
    asked, database = required(root, *LISTS)
    files: dict[str, Path] = {}
    own: dict[str, list[str]] = defaultdict(list)
    right: dict[tuple[str, str], list[str]] = defaultdict(list)
    for place, (path, text, instance) in read_rows(database, ","):
        image = path if path not in files else f"{path} #{len(files)}"  # rows are ranked, not files
        files[image] = inside(root, path, place)
        own[instance].append(image)
        right[instance, text].append(image)
    gallery = tuple(files)
    databases = {instance: tuple(images) for instance, images in own.items()}
    rows = read_rows(asked, ",")
    instances = (instance for _, (_, _, instance) in rows)
    require_known(instances, own, f"{database} lacks instances of {asked}:")
    queries = []
    for number, (place, (path, text, instance)) in enumerate(rows):
        files[path] = inside(root, path, place)
        answers = tuple(right.get((instance, text), ()))
        candidates = databases[instance]
        queries.append(
            EvalQuery(str(number), path, (text,), answers, instance, candidates=candidates)
        )
    return Benchmark(
        name,
        split,
        (Part("", gallery, tuple(queries)),),
        lambda image: image_at(files[image]),
        _score,
        {"ranked": "the database of the query's instance"},
        f"icir at {root.resolve()}",
        files.__getitem__,
    )


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return {"map": trapezoid_average_precision(ranking.ranks(query.targets))}
