"""`rtd search`, end to end: an index and an encoder that fit, a question, what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.errors import UsageError
from rtd_adapters.io.atomic import require_writable
from rtd_adapters.io.pictures import upright_picture
from rtd_adapters.jobs.index import IndexJob, index_place, run_index
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.search.columns import (
    BASE_COLUMN,
    BETWEEN,
    COMPARED,
    Column,
    different,
    patched_column,
    rival_columns,
)
from rtd_adapters.search.encoder import CompositionEncoder
from rtd_adapters.search.index import Index
from rtd_adapters.search.index.pictures import GalleryPictures
from rtd_adapters.search.index.places import store_at
from rtd_adapters.search.questions import Answer, Question, Searcher
from rtd_adapters.search.sheet import write_sheet


@dataclass(frozen=True)
class SearchInputs:
    """What searches: an index, and the encoder of its questions."""

    index: str
    """A folder of `rtd index`, a store's URL, or a backbone that brings pictures (`demo`)."""
    method: str | None = None
    """The patch's own, or the backbone's, where none is named; without any, nothing is composed."""
    patch: Path | None = None
    backbone: str | None = None
    """The index's own where none is named."""
    pretrained: str | None = None
    projection: Path | None = None
    method_options: Mapping[str, str] = field(default_factory=dict)
    device: str | None = None
    precision: str = "no"


@dataclass(frozen=True)
class SearchJob:
    """One `rtd search`: what is asked, of what, and what is written."""

    inputs: SearchInputs
    text: str = ""
    image: Path | None = None
    entry: str = ""
    k: int = 10
    strength: float = 1.0
    """Of the patch."""
    compare: bool = False
    """Base, patched, strengths between and rivals side by side."""
    also_strengths: Sequence[float] = ()
    html: Path | None = None
    """A page of what was found."""
    overwrite: bool = False


def run_search(job: SearchJob, say: Say = silent) -> Answer:
    """Ask one question of an index.

    Raises:
        UsageError: nothing is asked, or what is asked needs a patch or a method that is not there.
        FileError: index, picture or patch are missing or damaged, or the page is in the way.
        BackboneError: the index holds pictures as another backbone sees them.
        PatchError: the patch was made for another text tower.
        RtdError: an input does not fit another.
    """
    if job.html:
        require_writable(job.html, overwrite=job.overwrite)
    picture = upright_picture(job.image, str(job.image)) if job.image else None
    question = Question(job.text.strip(), picture, None, job.entry, job.k, columns_of(job))
    searcher = load_searcher(job.inputs, say)
    answer = searcher.ask(question)
    if job.html:
        write_sheet(answer, question, searcher.index, job.html)
    return answer


def columns_of(job: SearchJob) -> tuple[Column, ...]:
    """The ways in which a job makes its query.

    Raises:
        UsageError: a strength is asked for and there is no patch.
    """
    patched = job.inputs.patch is not None
    if not patched and (job.also_strengths or job.strength != 1):
        raise UsageError("a strength is of a patch, and there is none. Pass --patch.")
    if job.also_strengths and not job.compare:
        raise UsageError("--also-strength is a column of a comparison. Pass --compare.")
    if not job.compare:
        return (patched_column(job.strength) if patched else BASE_COLUMN,)
    between = (job.also_strengths or (BETWEEN,)) if patched else ()
    own = (patched_column(job.strength),) if patched else ()
    columns = (BASE_COLUMN, *map(patched_column, between), *own, *rival_columns(COMPARED))
    return different(columns)


def load_searcher(inputs: SearchInputs, say: Say = silent) -> Searcher:
    """Index and encoder, loaded and checked against each other, the cheapest checks first.

    Raises:
        RtdError: one is missing, damaged, or does not fit the other.
    """
    patch = TextEncoderPatch.load(inputs.patch) if inputs.patch else None
    method = inputs.method or (patch.metadata.method if patch else None)
    index = open_index(inputs.index, say)
    name = inputs.backbone or index.card.backbone
    own = inputs.backbone is None
    pretrained = inputs.pretrained or (index.card.pretrained if own else None)
    source = backbone_source(name)
    say(f"loading backbone {name}")
    encoder = CompositionEncoder.load(
        method or (source.method if source else None) or None,
        backbone=name,
        pretrained=pretrained,
        projection=inputs.projection,
        patch=patch,
        device=inputs.device,
        precision=inputs.precision,
        preprocess=index.card.preprocess,
        method_options=inputs.method_options,
    )
    return Searcher(index, encoder)


def open_index(name: str, say: Say = silent) -> Index:
    """An index by its folder or address, or a benchmark's own, made where it is not whole.

    Raises:
        FileError: there is none, or it is damaged.
        RtdError: the benchmark's cannot be made.
    """
    if store_at(name).card() is not None:
        return Index.open(name)
    try:
        place = index_place(name)
    except UsageError:  # no benchmark's name, and so there is none
        return Index.open(name)
    if store_at(place).card() is None or Index.open(place).card.count < _gallery_size(name):
        say(f"indexing the pictures of {name}, once")
        run_index(IndexJob(name), say)
    return Index.open(place)


def _gallery_size(name: str) -> int:
    """Pictures of a benchmark; a run that was killed has indexed fewer."""
    return len(GalleryPictures(name).listing().states)
