"""What an index says of itself, as its store keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.io.entries import Entry
from rtd_adapters.search.index.records import IndexCard

FORMAT = 1
REMEDY = "Make the index anew with rtd index."


@dataclass(frozen=True)
class Saved:
    """All of `IndexCard` but for the count, which the store knows."""

    backbone: str
    pretrained: str | None
    image_fingerprint: str
    preprocess: str
    embed_dim: int
    source: str

    def counted(self, count: int) -> IndexCard:
        """The card of an index with so many pictures."""
        return IndexCard(**asdict(self), count=count)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def of(cls, value: Any, place: str) -> Saved:
        """What was written.

        Args:
            value: as JSON gives it.
            place: of the index, for messages.

        Raises:
            FileError: it is damaged, or of a newer version.
        """
        entry = Entry(place, value, REMEDY)
        if (version := entry.number("format")) != FORMAT:
            raise FileError(
                f"{place} is an index of format {version:g}, and this rtd reads format {FORMAT}. "
                "Update rtd-adapters, or make the index anew."
            )
        return cls(
            entry.text("backbone"),
            entry.text("pretrained") if "pretrained" in entry else None,
            entry.text("image_fingerprint"),
            entry.text("preprocess"),
            int(entry.number("embed_dim")),
            entry.text("source"),
        )
