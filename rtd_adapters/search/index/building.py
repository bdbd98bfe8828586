"""An index made, or brought up to date: what is new, changed and gone since the last time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tqdm import tqdm

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.image_tower import ImageTower
from rtd_adapters.evaluation.pictures import picture_transform
from rtd_adapters.search.index.pictures import Listing, Source
from rtd_adapters.search.index.records import Broken, Row
from rtd_adapters.search.index.seeing import OwnPictures, seen
from rtd_adapters.search.index.store import Store

MOST_HELD = 4096
LONGEST_HELD = 60.0
"""Pictures, and seconds, that a killed run loses at most."""


@dataclass(frozen=True)
class Looking:
    """How pictures are looked at."""

    preprocess: str = "clip"
    """As in `embed_pictures`."""
    batch_size: int = 64
    workers: int = 0
    """Processes that read pictures; with 0 this one does."""
    precision: str = "no"
    """Of the image tower's autocast: no, fp16 or bf16. Embeddings are kept in fp32."""
    quiet: bool = False
    """No progress bar."""


@dataclass(frozen=True)
class Changes:
    """What has become of a source's pictures since they were indexed."""

    todo: tuple[str, ...]
    """New and changed ones, in the source's order."""
    changed: frozenset[str]
    gone: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What a run did."""

    new: int
    """Pictures embedded for the first time."""
    changed: int
    """Pictures embedded anew, because their files have changed."""
    gone: int
    """Pictures taken out, because their files are gone."""
    broken: tuple[Broken, ...]
    """Pictures that are not in the index because they could not be read."""
    count: int
    """Pictures in the index now."""
    seconds: float
    """In which new and changed ones were read and embedded."""


def changes(listing: Listing, store: Store) -> Changes:
    """A source's pictures beside those of a store.

    Raises:
        FileError: the store cannot be read.
    """
    known = store.states()
    todo = tuple(id_ for id_, state in listing.states.items() if known.get(id_) != state)
    gone = tuple(id_ for id_ in known if id_ not in listing.states)
    return Changes(todo, frozenset(known).intersection(todo), gone)


def listed(source: Source) -> Listing:
    """All pictures of a source.

    Raises:
        FileError: there are none, or it cannot be read: an index is not emptied by mistake.
    """
    listing = source.listing()
    if not listing.states:
        raise FileError(f"{source.name} holds no pictures that can be read. Put some there.")
    return listing


def bring_up_to_date(
    source: Source, listing: Listing, store: Store, backbone: Backbone, how: Looking
) -> Report:
    """Embed what is new and changed, and take out what is gone.

    A run that is killed goes on where it was: what it had written is known by then.

    Args:
        source: of the pictures.
        listing: its pictures, as `listed` found them.
        store: what is kept of them.
        backbone: whose image tower embeds them, on its device.
        how: they are looked at.

    Raises:
        FileError: the store refuses.
        UsageError: this system cannot fork workers.
        EvaluationError: a worker died, an embedding is not finite, or memory does not do.
    """
    due = changes(listing, store)
    store.remove(due.gone)
    began = time.monotonic()
    tower = ImageTower(backbone.images()[0], how.precision)
    transform = picture_transform(backbone, how.preprocess)
    states = [listing.states[id_] for id_ in due.todo]
    pictures = OwnPictures(due.todo, source.open, transform)
    with tqdm(
        total=len(listing.states),
        initial=len(listing.states) - len(due.todo),
        desc="indexing pictures",
        unit=" pictures",
        disable=how.quiet or None,
    ) as bar:

        def told() -> Iterator[tuple[list[Row], list[Broken]]]:
            for rows, wrong in seen(pictures, states, tower, how.batch_size, how.workers):
                yield rows, wrong
                bar.update(len(rows) + len(wrong))

        lost = _written(told(), store)
    took = time.monotonic() - began
    store.settle()
    seen_again = len(due.changed - {picture.id for picture in lost})
    return Report(
        new=len(due.todo) - len(lost) - seen_again,
        changed=seen_again,
        gone=len(due.gone),
        broken=(*listing.broken, *lost),
        count=store.count(),
        seconds=took,
    )


def _written(batches: Iterator[tuple[list[Row], list[Broken]]], store: Store) -> list[Broken]:
    """Put rows into the store, many at a time; returns what was broken."""
    held: list[Row] = []
    lost: list[Broken] = []
    since, told = time.monotonic(), 0
    for rows, wrong in batches:
        held += rows
        lost += wrong
        if len(held) >= MOST_HELD or time.monotonic() - since > LONGEST_HELD:
            _put(store, held, lost[told:])
            held, since, told = [], time.monotonic(), len(lost)
    _put(store, held, lost[told:])
    return lost


def _put(store: Store, rows: list[Row], broken: list[Broken]) -> None:
    store.remove([picture.id for picture in broken])  # what was there is of an older file
    store.put(rows)
