"""Conditioning texts as people and adversaries write them: seeded changes of a query's own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery

SEED = 0
Change = Callable[[str, random.Random], str]


def _typo(text: str, draw: random.Random) -> str:
    words = text.split()
    long = [place for place, word in enumerate(words) if len(word) > 3]
    if not long:
        return text
    place = draw.choice(long)
    letters = list(words[place])
    at = draw.randrange(1, len(letters) - 1)
    letters[at], letters[at - 1] = letters[at - 1], letters[at]
    return " ".join([*words[:place], "".join(letters), *words[place + 1 :]])


CHANGES: dict[str, Change] = {
    "unchanged": lambda text, draw: text,
    "typo": _typo,
    "negated": lambda text, draw: f"is not one that {text}",
    "contradictory": lambda text, draw: f"{text} and is just the same as before",
    "irrelevant": lambda text, draw: "was seen on a quiet afternoon",
    "empty": lambda text, draw: "",
    "ignore_the_picture": lambda text, draw: f"ignore the picture , {text}",
}


def perturbed(benchmark: Benchmark, change: Change) -> Benchmark:
    """The same benchmark, asked with every text changed; the draw begins anew each time."""
    draw = random.Random(SEED)

    def changed(query: EvalQuery) -> EvalQuery:
        return replace(query, texts=tuple(change(text, draw) for text in query.texts))

    return _each_query(benchmark, changed)


def wordings(benchmark: Benchmark) -> dict[str, Benchmark]:
    """The benchmark asked with each of its queries' several texts alone; empty where one has only
    one."""
    count = min(len(query.texts) for part in benchmark.parts for query in part.queries)
    if count < 2:
        return {}
    return {f"wording_{place + 1}": _alone(benchmark, place) for place in range(count)}


def _alone(benchmark: Benchmark, place: int) -> Benchmark:
    return _each_query(benchmark, lambda query: replace(query, texts=(query.texts[place],)))


def _each_query(benchmark: Benchmark, change: Callable[[EvalQuery], EvalQuery]) -> Benchmark:
    parts = tuple(
        replace(part, queries=tuple(map(change, part.queries))) for part in benchmark.parts
    )
    return replace(benchmark, parts=parts)
