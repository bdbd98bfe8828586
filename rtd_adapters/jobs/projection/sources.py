"""What a projection learns from, found on the disk: captions of a source, pictures of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import FileError, TripletError
from rtd_adapters.evaluation.benchmark import Benchmark, image_at
from rtd_adapters.evaluation.features import Pictures
from rtd_adapters.evaluation.folders import SUFFIXES, picture_tree
from rtd_adapters.evaluation.inputs import EvalOptions
from rtd_adapters.evaluation.kept import pictures_folder
from rtd_adapters.jobs.say import Say
from rtd_adapters.methods.inversion import Concept
from rtd_adapters.training.inversion import CaptionSource, PictureSource
from rtd_adapters.training.inversion.concepts import usable_concepts
from rtd_adapters.training.inversion.sources import TRIED, Source
from rtd_adapters.triplets import read_captions
from rtd_adapters.triplets.keywords import keyword_finder
from rtd_adapters.triplets.phrases import phrases_of_captions, read_phrases
from rtd_adapters.triplets.spans import span_finder


@dataclass(frozen=True)
class Material:
    """What is learned from."""

    record: dict[str, Any]
    """For metadata and checkpoints: where it comes from, how much it is, a sha256."""
    open: Callable[[Processes, torch.device], Source]
    """Gives it, once processes and device are known."""


def captions_of(
    source: str, column: str | None, keywords: str | None, tokenizer: Tokenizer, say: Say
) -> Material:
    """Captions of a source, as `read_captions` takes it.

    Raises:
        FileError: it is missing or damaged.
        TripletError: it holds no captions, none is left, or none has a keyword.
        UsageError: spaCy is asked for and not installed.
    """
    finder = span_finder(keywords)
    captions = CaptionSource(read_captions(source, column), tokenizer, finder)
    share = captions.keyword_share()
    gone = "".join(f", {n:,} {reason}" for reason, n in captions.dropped.items())
    tried = min(TRIED, len(captions))
    say(
        f"captions: {len(captions):,}{gone}; {100 * share:.0f} % of the first {tried:,} have "
        f"keywords ({finder.name})"
    )
    record = {
        "source": Path(source).name,
        "count": len(captions),
        "dropped": dict(captions.dropped),
        "sha256": captions.sha256,
        "keywords": finder.name,
    }
    return Material(record, lambda processes, device: captions)


def concepts_of(
    phrases: Path | None,
    captions: str | None,
    column: str | None,
    keywords: str | None,
    tokenizer: Tokenizer,
) -> list[Concept]:
    """Concepts of a file of phrases or, where there is none, the nouns of captions.

    Raises:
        FileError: a file is missing or damaged.
        TripletError: it is of another form, or no concept is left.
        UsageError: spaCy is asked for and not installed.
    """
    if phrases is not None:
        return usable_concepts(read_phrases(phrases), tokenizer)
    nouns = phrases_of_captions(read_captions(str(captions), column), keyword_finder(keywords))
    return usable_concepts(nouns, tokenizer)


def record_of(concepts: Sequence[Concept]) -> dict[str, Any]:
    """For metadata and checkpoints: how many concepts there are, and a sha256 of all phrases."""
    if not concepts:
        return {}
    digest = hashlib.sha256()
    for concept in concepts:
        told = "\0".join([concept.name, *concept.phrases])
        digest.update(f"{told}\n".encode("utf-8", "surrogatepass"))
    return {"concepts": len(concepts), "concepts_sha256": digest.hexdigest()}


def pictures_of(folder: Path, backbone: Backbone, viewing: EvalOptions, say: Say) -> Material:
    """The pictures in a folder and the folders in it; none is opened yet.

    Raises:
        FileError: there is no such folder, it cannot be read, or holds no pictures.
        UsageError: the backbone has no image tower.
    """
    if not folder.is_dir():
        raise FileError(f"--images {folder} is no folder. Name one that holds pictures.")
    backbone.images()  # refuses what has no image tower, before anything is read
    ids = picture_tree(folder, folder)
    if not ids:
        raise FileError(f"--images {folder} holds no pictures ({', '.join(SUFFIXES)}).")
    digest = hashlib.sha256()
    for name in ids:
        size = (folder / name).stat().st_size
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
    record = {"source": folder.name, "count": len(ids), "sha256": digest.hexdigest()}
    record |= {"preprocess": viewing.preprocess, "precision": viewing.precision}
    say(f"pictures: {len(ids):,}")

    def opened(processes: Processes, device: torch.device) -> PictureSource:
        return _embedded(folder, ids, backbone, viewing, processes, device)

    return Material(record, opened)


def _embedded(
    folder: Path,
    ids: tuple[str, ...],
    backbone: Backbone,
    viewing: EvalOptions,
    processes: Processes,
    device: torch.device,
) -> PictureSource:
    """Pictures as the image tower sees them, embedded by all processes.

    Raises:
        FileError: a picture is missing or damaged.
        TripletError: broken ones are left out, and none is left.
    """
    model = backbone.images()[0].to(device)
    pictures = Pictures(
        backbone,
        _as_benchmark(folder),
        viewing.preprocess,
        viewing.batch_size,
        pictures_folder() if viewing.cache else None,
        viewing.quiet,
        viewing.workers,
        viewing.precision,
        viewing.skip_broken,
    )
    left_out = set(pictures.extract(ids, processes))
    embeddings = pictures.embeddings(ids)
    model.to("cpu")
    sound = embeddings[[place for place in range(len(ids)) if place not in left_out]]
    if not len(sound):
        raise TripletError(
            f"No picture of --images {folder} is left to learn from: {len(ids):,} cannot be read."
        )
    return PictureSource(sound)


def _as_benchmark(folder: Path) -> Benchmark:
    """Pictures of a folder, in the form in which pictures are opened and known again."""
    return Benchmark(
        "pictures",
        "",
        (),
        lambda name: image_at(folder / name),
        lambda query, ranking: {},
        source=f"pictures at {folder.resolve()}",
        image_file=folder.joinpath,
    )
