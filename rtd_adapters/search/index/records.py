"""What an index holds of a picture, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rtd_adapters.errors import FileError


class UnknownEntryError(FileError):
    """An id is of no picture in the index."""


@dataclass(frozen=True)
class Hit:
    """A picture that was found."""

    id: str
    score: float
    """Cosine of the query and the picture's embedding."""


@dataclass(frozen=True)
class Entry:
    """A picture of an index."""

    id: str
    """Its path below the indexed folder, with / between parts; a picture of an archive has the
    archive's path before its own, as in `trip.zip/day 1/beach.jpg`. A benchmark's own id."""
    width: int
    """In pixels, upright."""
    height: int
    path: str
    """Where the original lies, as `id` but from the root; empty where no file holds it."""


@dataclass(frozen=True)
class IndexCard:
    """What an index says of itself."""

    backbone: str
    """As `load_backbone` takes it."""
    pretrained: str | None
    image_fingerprint: str
    """Of the model that saw the pictures, as `rtd_adapters.clip.image_fingerprint` tells it."""
    preprocess: str
    """`clip` or `targetpad`, as in `embed_pictures`."""
    embed_dim: int
    count: int
    """Pictures in it."""
    source: str
    """The indexed folder, or the name of a benchmark whose gallery is indexed."""

    @property
    def label(self) -> str:
        """The backbone as `Backbone.label` has it, as in ViT-L-14/openai."""
        return f"{self.backbone}/{self.pretrained}" if self.pretrained else self.backbone


class State(NamedTuple):
    """What changes with a picture's file; the file itself is not read for it."""

    size: int
    """In bytes."""
    stamp: int
    """A file's time in ns, or the CRC-32 of a zip archive's member."""


@dataclass(frozen=True)
class Row:
    """A picture on its way into the store."""

    id: str
    state: State
    width: int
    height: int
    thumbnail: bytes
    embedding: np.ndarray
    """[embed_dim] fp32, not normalised."""


@dataclass(frozen=True)
class Broken:
    """A picture that could not be read."""

    id: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The pictures of a source; none has been opened."""

    states: dict[str, State] = field(default_factory=dict)
    """By id, in the order in which they are best read."""
    broken: list[Broken] = field(default_factory=list)
    """Those of which it is known without opening them that they are not to be read."""
