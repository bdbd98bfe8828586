"""How triplets and benchmarks word what they ask for: lengths, first words, variety.

    python examples/benchmarks/wordings.py NAME=FILE[,FILE...] ... > examples/benchmarks/wordings.md

A FILE is triplets, as `rtd triplets check` takes them, or annotations of CIRR
(captions/cap.rc2.val.json) or of FashionIQ (captions/cap.{dress,shirt,toptee}.val.json), whose
texts count one by one. Of each, 2,000 texts are drawn at random.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import mean, quantiles

from rtd_adapters.triplets import read_triplets
from rtd_adapters.triplets.checking.variety import COMPARED, variety

DRAWN, FIRST = 2000, 10


def conditionings(file: Path) -> Iterator[str]:
    """The texts of triplets, or of a benchmark's queries."""
    if file.suffix != ".json":
        yield from (triplet.conditioning for triplet in read_triplets(file))
        return
    for query in json.loads(file.read_text("utf-8")):
        yield from query["captions"] if "captions" in query else [query["caption"]]


def row(name: str, texts: list[str]) -> str:
    """A line of the table."""
    words = [len(text.split()) for text in texts]
    tenths, varied = quantiles(words, n=10), variety(texts)
    openings = Counter(text.split()[0].lower() for text in texts if text.strip())
    first = ", ".join(f"{word} {n / len(texts):.0%}" for word, n in openings.most_common(FIRST))
    return (
        f"| {name} | {mean(words):.1f} | {tenths[0]:.0f} to {tenths[-1]:.0f} | {varied.alone:.0%} "
        f"| {first} |"
    )


def main(arguments: Iterable[str]) -> None:
    """Print the table."""
    print("# How people and rules word what they ask for\n")
    print(
        f"Made by `python examples/benchmarks/wordings.py NAME=FILE ...`, {DRAWN:,} texts each.\n"
    )
    print(f"| | words | 80 % have | of {COMPARED:,} built as no other is | first words |")
    print("|---|---|---|---|---|")
    for argument in arguments:
        name, _, files = argument.partition("=")
        texts = [text for file in files.split(",") for text in conditionings(Path(file))]
        random.Random(0).shuffle(texts)
        print(row(name, texts[:DRAWN]))


if __name__ == "__main__":
    main(sys.argv[1:])
