"""`rtd data check`, end to end: is a benchmark's folder whole, and as large as it was published?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtd_adapters.errors import MissingFilesError
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    Part,
    PartSize,
    get_benchmark,
    load_benchmark,
)


@dataclass(frozen=True)
class PartCount:
    """A gallery and its queries, counted."""

    name: str
    pictures: int
    """In the gallery."""
    queries: int
    published: PartSize | None
    """None where it is not known."""

    @property
    def flags(self) -> list[str]:
        """What is not as it was published, a sentence each."""
        if self.published is None:
            return []
        return [
            f"{self.name or 'the gallery'} has {found:,} {what}, and {wanted:,} were published: "
            "figures cannot be compared with others'."
            for what, found, wanted in (
                ("pictures", self.pictures, self.published.pictures),
                ("queries", self.queries, self.published.queries),
            )
            if wanted is not None and found != wanted
        ]


@dataclass(frozen=True)
class DataCheck:
    """What `rtd data check` prints."""

    benchmark: str
    split: str
    missing: list[str]
    """Files and pictures that are not there, below the folder."""
    parts: list[PartCount]
    """Empty where what is missing keeps the benchmark from being read."""
    pictures: int
    """Different ones, of all galleries and references."""

    @property
    def flags(self) -> list[str]:
        """Of all parts."""
        return [flag for part in self.parts for flag in part.flags]


def check_data(benchmark: str, data: Path | None, split: str) -> DataCheck:
    """Look for every file of a benchmark, and count; no picture is opened.

    Args:
        benchmark: name of an installed benchmark.
        data: the folder in which it was unpacked, if it lies in one.
        split: as in `evaluate`.

    Raises:
        UsageError: there is no such benchmark or split, or no folder was named.
        FileError: annotations are damaged or do not fit together.
    """
    try:
        found = load_benchmark(benchmark, data, split)
    except MissingFilesError as error:
        return DataCheck(benchmark, split, list(error.missing), [], 0)
    sizes = get_benchmark(benchmark).sizes.get(split, {})
    parts = [
        PartCount(part.name, len(part.gallery), len(part.queries), sizes.get(part.name))
        for part in found.parts
    ]
    images = _images(found.parts)
    return DataCheck(benchmark, split, _missing(found, images, data), parts, len(images))


def _images(parts: tuple[Part, ...]) -> list[str]:
    """Ids of all pictures that an evaluation opens."""
    named = {image for part in parts for image in part.gallery}
    return sorted(named.union(*(part.references for part in parts)))


def _missing(benchmark: Benchmark, images: list[str], data: Path | None) -> list[str]:
    if benchmark.image_file is None:
        return []
    files = sorted({benchmark.image_file(image) for image in images})
    absent = [path for path in files if not path.is_file()]
    return [str(path.relative_to(data) if data else path) for path in absent]
