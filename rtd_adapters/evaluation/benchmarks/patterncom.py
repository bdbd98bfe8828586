"""PatternCom (Psomas et al., IGARSS 2024): attributes of places, seen from above.

    patternnet.csv, lines of a picture's path below the root and two more cells, with spaces between
    them; PatternCom/{color,context,density,existence,quantity,shape}.csv, lines of a picture's file
    name, an attribute and a value, with commas. Neither has a header. The pictures at those paths.

Protocol: each line is asked for in every other value that the attribute takes within its class, by
that value's name, over all pictures of PatternNet. Right answers have the value and the class.
Some classes are one class here; where a picture has two lines, its last value is what it shows.
AP is the mean of the precisions at all right answers; precision and recall at 5, 10, 15, 20.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rtd_adapters.evaluation.annotations import (
    inside,
    read_rows,
    require_distinct,
    require_known,
)
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    image_at,
    required,
)
from rtd_adapters.evaluation.metrics import whole_average_precision

ATTRIBUTES = ("color", "context", "density", "existence", "quantity", "shape")
CUTOFFS = (5, 10, 15, 20)
MERGED = {
    "denseresidential": "residential",
    "sparseresidential": "residential",
    "closedroad": "road",
    "intersection": "road",
    "bridge": "roadpass",
    "overpass": "roadpass",
    "ferryterminal": "pier",
    "harbor": "pier",
    "parkingspace": "parking",
    "parkinglot": "parking",
}
"""Classes that are one in right answers, and among whose values a query of that attribute asks."""
ASKED_AS_ONE = {
    "density": ("residential",),
    "shape": ("road",),
    "context": ("roadpass",),
    "existence": ("pier", "parking"),
}
"""Where the values of both classes are asked for; elsewhere each class has values of its own."""


@dataclass(frozen=True)
class Line:
    """Of an attribute's list."""

    name: str
    attribute: str
    value: str

    @property
    def kind(self) -> str:
        """The picture's class, which its file is named by, as right answers know it."""
        return MERGED.get(self._own, self._own)

    def family(self, listed: str) -> tuple[str, str]:
        """What shares its values with it in the list of an attribute."""
        merged = self.attribute == listed and self.kind in ASKED_AS_ONE.get(listed, ())
        return self.attribute, self.kind if merged else self._own

    @property
    def _own(self) -> str:
        return re.split(r"\d", self.name)[0]


def load(name: str, root: Path, split: str) -> Benchmark:
    """Six parts, an attribute each, over one gallery of 30,400 pictures."""
    pictures, *lists = required(
        root, "patternnet.csv", *(f"PatternCom/{attribute}.csv" for attribute in ATTRIBUTES)
    )
    rows = read_rows(pictures, " ")
    files = {PurePosixPath(path).name: inside(root, path, place) for place, (path, _, _) in rows}
    gallery = tuple(PurePosixPath(path).name for _, (path, _, _) in rows)
    require_distinct(gallery, f"{pictures} names more than once:")
    parts = []
    for attribute, path in zip(ATTRIBUTES, lists, strict=True):
        lines = [Line(*cells) for _, cells in read_rows(path, ",", quoted=True)]
        require_known((line.name for line in lines), files, f"{pictures} lacks pictures of {path}:")
        parts.append(Part(attribute, gallery, tuple(_queries(attribute, lines))))
    return Benchmark(
        name,
        split,
        tuple(parts),
        lambda image: image_at(files[image]),
        _score,
        {"text": "the other value's name", "reference": "stays in the gallery"},
        f"patterncom at {root.resolve()}",
        files.__getitem__,
    )


def _queries(attribute: str, lines: Sequence[Line]) -> list[EvalQuery]:
    values: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for line in lines:
        values[line.family(attribute)][line.value] = None
    right: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in {line.name: line for line in lines}.values():
        right[line.kind, line.value].append(line.name)
    return [
        EvalQuery(
            f"{attribute}-{number}-{value}",
            line.name,
            (value,),
            tuple(right.get((line.kind, value), ())),
            line.kind,
        )
        for number, line in enumerate(lines)
        for value in values[line.family(attribute)]
        if value != line.value
    ]


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    ranks = ranking.ranks(query.targets)
    found = {k: sum(rank <= k for rank in ranks) for k in CUTOFFS}
    return {
        "map": whole_average_precision(ranks),
        **{f"precision@{k}": found[k] / k for k in CUTOFFS},
        **{f"recall@{k}": found[k] / max(len(ranks), 1) for k in CUTOFFS},
    }
