"""The built-in world's held-out queries, and their targets' captions, as benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtd_adapters.demo.queries import FINAL_SEED, QuerySet, held_out_queries
from rtd_adapters.demo.render import draw
from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part, Ranking, hits
from rtd_adapters.evaluation.metrics import recalls

CUTOFFS = (1, 5, 10)


def load(name: str, root: Path, split: str) -> Benchmark:
    """1,000 queries over one gallery; the reference stays in it."""
    held_out = held_out_queries()
    queries = tuple(
        EvalQuery(str(row), str(reference), (text,), (str(target),), family)
        for row, (reference, text, target, family) in enumerate(
            zip(
                held_out.references,
                held_out.texts,
                held_out.targets,
                held_out.families,
                strict=True,
            )
        )
    )
    about = {"reference": "stays in the gallery", "seed": FINAL_SEED}
    return _benchmark(name, split, held_out, queries, about)


def load_captions(name: str, root: Path, split: str) -> Benchmark:
    """The plain captions of the same queries' targets, over the same gallery."""
    held_out = held_out_queries()
    queries = tuple(
        EvalQuery(str(row), "", (caption,), (str(target),))
        for row, (caption, target) in enumerate(
            zip(held_out.target_captions, held_out.targets, strict=True)
        )
    )
    return _benchmark(name, split, held_out, queries, {"seed": FINAL_SEED})


def _benchmark(
    name: str,
    split: str,
    held_out: QuerySet,
    queries: tuple[EvalQuery, ...],
    about: Mapping[str, Any],
) -> Benchmark:
    gallery = tuple(map(str, range(len(held_out.gallery))))
    return Benchmark(
        name,
        split,
        (Part("", gallery, queries),),
        lambda image: draw(held_out.gallery[int(image)], held_out.seeds[int(image)]),
        _score,
        about,
        f"built-in world, seed {FINAL_SEED}",
    )


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
