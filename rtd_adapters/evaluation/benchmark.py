"""The benchmark seam: galleries, queries, and how a query's ranking is scored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rtd_adapters.errors import FileError, MissingFilesError, UsageError
from rtd_adapters.evaluation.annotations import listed, require_distinct, require_known
from rtd_adapters.hooks.kinds import BENCHMARK
from rtd_adapters.hooks.registry import registry
from rtd_adapters.io.pictures import stored_picture

if TYPE_CHECKING:
    from PIL.Image import Image


DEPTH = 100
"""Places of a ranking that are kept where a benchmark asks for no more."""


@dataclass(frozen=True)
class EvalQuery:
    """One composed query, or a plain caption."""

    id: str
    reference: str
    """Image id of the reference picture; empty for a plain caption, which is asked as it stands.
    All queries of a part have one, or none."""
    texts: tuple[str, ...]
    """Conditioning texts. Several are asked apart, and their unit embeddings averaged."""
    targets: tuple[str, ...]
    """Ids of the right answers, the annotated target first; empty where the server keeps them."""
    category: str = ""
    """A kind of query, for filters and breakdowns."""
    excluded: tuple[str, ...] = ()
    """Ids that are taken out of the ranking."""
    candidates: tuple[str, ...] = ()
    """The only ids that are ranked; the whole gallery where it is empty."""
    group: tuple[str, ...] = ()
    """CIRR's subset: ids that are ranked a second time among themselves."""
    bare: tuple[str, str] | None = None
    """Instead of composing with the texts: what the bare prompt opens with in the place of
    "a photo of", and what is appended to it. All queries of a part have it, or none."""


@dataclass(frozen=True)
class Part:
    """A gallery and the queries that search it."""

    name: str
    gallery: tuple[str, ...]
    queries: tuple[EvalQuery, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """Image ids of the queries' reference pictures, each once; plain captions have none."""
        return tuple(dict.fromkeys(q.reference for q in self.queries if q.reference))


@dataclass(frozen=True)
class PartSize:
    """How large a part is where it was published."""

    pictures: int | None
    """In the gallery; None where it is not known."""
    queries: int | None


@dataclass(frozen=True)
class BenchmarkSource:
    """How a benchmark is read; registered by name (`register_benchmarks`)."""

    name: str
    """What `--benchmark` takes."""
    summary: str
    """One line for `rtd plugins`."""
    load: Callable[[str, Path, str], Benchmark]
    """Reads it, given its name, the folder in which it was unpacked, and the split. Raises
    FileError where files are missing or damaged."""
    splits: tuple[str, ...] = ("val",)
    needs_data: bool = True
    """Whether it lies in a folder that the user names."""
    backbone: str | None = None
    """The only backbone that knows its pictures; None where any will do."""
    sizes: Mapping[str, Mapping[str, PartSize]] = field(default_factory=dict)
    """Published sizes: split -> name of a part -> its size. What is not known is left out."""


class Ranking(Protocol):
    """One query's ranking, best first; excluded ids are not in it."""

    def top(self, depth: int) -> list[str]:
        """The first `depth` ids, as many as the benchmark's `depth` at most."""

    def among(self, ids: Sequence[str]) -> list[str]:
        """Those ids, best first; all are `targets` of the query or of its `group`."""

    def ranks(self, ids: Sequence[str]) -> list[int]:
        """Where those ids stand in the whole ranking, 1 for the top, best first; all are likewise
        the query's own."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's split, read and checked."""

    name: str
    split: str
    parts: tuple[Part, ...]
    """Metrics are averaged over queries within a part, then over parts."""
    open_image: Callable[[str], Image]
    """The picture of an image id, in RGB."""
    score: Callable[[EvalQuery, Ranking], Mapping[str, float]]
    """Metric name -> value between 0 and 1 of one query."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What explains most gaps between reported figures: how captions are joined and so on."""
    source: str = ""
    """Identifies the pictures, for the cache of their embeddings."""
    image_file: Callable[[str], Path] | None = None
    """The file that holds the picture of an image id, where one does: the cache sees by its size
    and time that it has changed."""
    depth: int = DEPTH
    """How many of a ranking's first places `score` asks for at most."""
    captions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Image id -> captions of it, where the benchmark has such; for `rtd diagnose`."""

    @property
    def hidden(self) -> bool:
        """Whether the right answers are with a server."""
        return not any(query.targets for part in self.parts for query in part.queries)

    @cached_property
    def composes(self) -> bool:
        """Whether it asks composed queries, which need the method's projection; plain captions,
        which are embedded word for word, do not."""
        return any(query.reference for part in self.parts for query in part.queries)

    @cached_property
    def annotations_sha256(self) -> str:
        """Of galleries and queries as they were read."""
        return hashlib.sha256(repr(self.parts).encode()).hexdigest()


def get_benchmark(name: str) -> BenchmarkSource:
    """The installed benchmark of that name.

    Raises:
        UsageError: there is none, and the message suggests the nearest.
    """
    source: BenchmarkSource = registry().find(BENCHMARK, name)
    return source


def load_benchmark(name: str, root: Path | None = None, split: str = "val") -> Benchmark:
    """Read a benchmark's annotations and check that its files are there.

    Args:
        name: of an installed benchmark.
        root: the folder in which it was unpacked, if it lies in one.
        split: `val`, or `test` where a server keeps the answers (cirr, circo).

    Raises:
        UsageError: there is no such benchmark or split, or no folder was named.
        FileError: files are missing or damaged, or do not fit together.
    """
    source = get_benchmark(name)
    if split not in source.splits:
        known = " or ".join(source.splits)
        raise UsageError(f"{name} has no split {split!r} here; use {known}.")
    if root is None and source.needs_data:
        raise UsageError(f"{name} needs --data: the folder in which it was unpacked.")
    benchmark = source.load(name, root or Path(), split)
    for part in benchmark.parts:
        _require_whole(part, f"{name} {part.name}".strip())
    return benchmark


def _require_whole(part: Part, name: str) -> None:
    """Refuse a gallery and queries that do not fit together.

    Raises:
        FileError: one of both is empty, the gallery holds an id twice, a query's target or
            candidate is not in it, or only some queries have a reference.
    """
    if not part.gallery or not part.queries:
        raise FileError(f"{name} has no pictures or no queries. Fetch the annotations again.")
    if len({bool(query.reference) for query in part.queries}) > 1:
        raise FileError(f"{name} mixes plain captions with composed queries. Make two parts of it.")
    require_distinct(part.gallery, f"the gallery of {name} holds more than once:")
    for what in ("targets", "candidates", "group"):
        asked = (image for query in part.queries for image in getattr(query, what))
        require_known(asked, part.gallery, f"the gallery of {name} lacks {what} of its queries:")


def hits(targets: Sequence[str], ranked: Sequence[str]) -> list[bool]:
    """Whether each ranked id is a right answer."""
    wanted = set(targets)
    return [image in wanted for image in ranked]


def required(root: Path, *names: str) -> list[Path]:
    """Files or folders below a benchmark's folder.

    Raises:
        MissingFilesError: some are missing; the first few are named.
    """
    missing = [name for name in names if not (root / name).exists()]
    if missing:
        raise MissingFilesError(
            f"{root} lacks {listed(missing)}. Point --data at the folder in which the benchmark "
            "was unpacked; docs/evaluation.md shows how each looks.",
            missing,
        )
    return [root / name for name in names]


def image_at(path: Path) -> Image:
    """A picture file, in RGB.

    Raises:
        FileError: as `stored_picture`.
    """
    try:
        return stored_picture(path, str(path))
    except FileError as error:
        raise FileError(f"{error} Unpack it again.") from error
