"""The small file in an index that says whose embeddings it holds, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from rtd_adapters.errors import FileError
from rtd_adapters.io.entries import Entry
from rtd_adapters.io.json_files import read_json, write_json
from rtd_adapters.search.index.records import IndexCard

NAME = "index.json"
FORMAT = 1
REMEDY = "Make the index anew with rtd index."
LARGEST = 1 << 20


@dataclass(frozen=True)
class Saved:
    """What the file holds: all of `IndexCard` but for the count, which the store has."""

    backbone: str
    pretrained: str | None
    image_fingerprint: str
    preprocess: str
    embed_dim: int
    source: str

    def counted(self, count: int) -> IndexCard:
        """The card of an index with so many pictures."""
        return IndexCard(**asdict(self), count=count)


def has_card(folder: Path) -> bool:
    """Whether there is an index in a folder."""
    return (folder / NAME).is_file()


def write_card(folder: Path, card: Saved) -> None:
    """Write it, whole or not at all.

    Raises:
        FileError: the disk refuses.
    """
    write_json(folder / NAME, {"format": FORMAT, **asdict(card)})


def read_card(folder: Path) -> Saved:
    """What an index says of itself.

    Raises:
        FileError: there is none, or it is damaged or of a newer version.
    """
    path = folder / NAME
    if not path.is_file():
        raise FileError(f"{folder} holds no index. Make one: rtd index FOLDER --out {folder}")
    entry = Entry(str(path), read_json(path, largest=LARGEST), REMEDY)
    if (version := entry.number("format")) != FORMAT:
        raise FileError(
            f"{folder} is an index of format {version:g}, and this rtd reads format {FORMAT}. "
            "Update rtd-adapters, or make the index anew."
        )
    return Saved(
        entry.text("backbone"),
        entry.text("pretrained") if "pretrained" in entry else None,
        entry.text("image_fingerprint"),
        entry.text("preprocess"),
        int(entry.number("embed_dim")),
        entry.text("source"),
    )
