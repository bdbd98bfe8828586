"""What is timed, and what was measured of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from rtd_adapters.training.settings import EngineName, Precision


@dataclass(frozen=True)
class BenchCase:
    """What is timed."""

    backbone: str
    kind: str
    batch_size: int
    engine: EngineName = "reference"
    anchors_cached: bool = False
    """All captions' anchors are on disk."""
    mixed_precision: Precision = "no"

    @property
    def label(self) -> str:
        """The engine, and what it was given."""
        return ", ".join([self.engine, *self._extras()])

    @property
    def title(self) -> str:
        """For a line of progress."""
        return f"{self.backbone}, {self.kind}, {self.label}"

    def variants(self) -> list[BenchCase]:
        """The cases that are compared, the reference first."""
        fast = replace(self, engine="fast")
        cached = replace(fast, anchors_cached=True)
        return [self, fast, cached, replace(cached, mixed_precision="bf16")]

    def _extras(self) -> Iterator[str]:
        if self.anchors_cached:
            yield "anchors cached"
        if self.mixed_precision != "no":
            yield self.mixed_precision


@dataclass(frozen=True)
class BenchRow:
    """What was measured of one case; times are medians over the rounds."""

    case: BenchCase
    seconds_per_step: float
    triplets_per_second: float
    tokens_per_second: float
    """Of captions and prompts, without padding, whether computed apart, shared or kept."""
    gflops: float
    """10^9 operations a second in matrix products, padding's and repetitions' included."""
    data_share: float
    """Of a step's time, to draw, clean and tokenize the next batch."""
    peak_memory_mb: float
    """Of a process of its own, above what it took before the towers were built."""
    speedup: float | None
    """Median over the rounds of the reference step's time over this one's, in the same round; None
    where there was no time for the reference."""

    def to_dict(self) -> dict[str, Any]:
        """Case and figures side by side, for --json."""
        values = asdict(self)
        return values.pop("case") | values
