"""`rtd index`, end to end: a folder's pictures, or a benchmark's, in an index."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rtd_adapters.clip.backbones import Backbone, load_backbone
from rtd_adapters.clip.image_fingerprint import image_fingerprint
from rtd_adapters.compute.devices import require_device, usual_device
from rtd_adapters.errors import FileError, UsageError, require_number
from rtd_adapters.evaluation.image_tower import require_precision
from rtd_adapters.evaluation.pictures import require_preprocessing
from rtd_adapters.hooks.registry import registry
from rtd_adapters.io.cache import cache_root
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.search.index.building import Looking, Report, bring_up_to_date, listed
from rtd_adapters.search.index.card import Saved
from rtd_adapters.search.index.pictures import FolderPictures, GalleryPictures, Source
from rtd_adapters.search.index.places import store_at


@dataclass(frozen=True)
class IndexJob:
    """One `rtd index`: what is indexed, by what, and where it is kept."""

    source: str
    """A folder, or the name of a benchmark that needs no data, such as `demo`."""
    out: Path | None = None
    """Folder of the index; a benchmark's has a place in the cache."""
    store: str | None = None
    """Address of a server that keeps the index instead: postgresql://HOST/DATABASE#NAME."""
    backbone: str | None = None
    """None: the index's own, or the benchmark's."""
    pretrained: str | None = None
    device: str | None = None
    how: Looking = field(default_factory=Looking)

    def __post_init__(self) -> None:
        require_number("--batch-size", self.how.batch_size, least=1)
        require_number("--workers", self.how.workers, least=0)
        require_precision(self.how.precision)
        require_preprocessing(self.how.preprocess)


def run_index(job: IndexJob, say: Say = silent) -> Report:
    """Make an index, or bring one up to date.

    Args:
        job: what to do.
        say: told in a line what its user should know.

    Raises:
        UsageError: no backbone or place was named, or the index is another backbone's.
        FileError: another run writes the index, the source cannot be read, or the disk refuses.
        RtdError: the backbone does not load.
    """
    require_device(job.device)
    source, store = _source(job), store_at(index_place(job.source, job.out, job.store))
    with store.claimed():
        before = store.card()
        name, pretrained = _backbone(job, before)
        listing = listed(source)
        say(f"loading backbone {name}")
        backbone = load_backbone(name, pretrained).to(usual_device(job.device))
        card = _card(source, backbone, job.how)
        if before:
            _require_same(store.where, before, card)
        store.begin(before or card)
        return bring_up_to_date(source, listing, store, backbone, job.how)


def index_place(source: str, out: Path | None = None, store: str | None = None) -> str | Path:
    """Where the index of a source lies, as `Index.open` takes it.

    Args:
        source, out, store: as in `IndexJob`.

    Raises:
        UsageError: no place was named for a folder's, or two were.
    """
    if out is not None and store is not None:
        raise UsageError("--out and --store are two places for one index. Pass one of them.")
    if out is not None or store is not None:
        return out or store or ""
    if source in _galleries():
        return cache_root() / "index" / source
    raise UsageError("--out is missing: the folder in which the index is kept.")


def _source(job: IndexJob) -> Source:
    if job.source in _galleries():
        return GalleryPictures(job.source)
    return FolderPictures(Path(job.source).resolve())


def _galleries() -> dict[str, str | None]:
    """Benchmarks that need no data, and the backbone of each."""
    sources = registry().benchmarks.items()
    return {name: source.backbone for name, source in sources if not source.needs_data}


def _backbone(job: IndexJob, before: Saved | None) -> tuple[str, str | None]:
    if job.backbone:
        return job.backbone, job.pretrained
    if job.pretrained:
        raise UsageError("--pretrained is of a backbone. Pass --backbone too.")
    if before:
        return before.backbone, before.pretrained
    if own := _galleries().get(job.source):
        return own, None
    raise UsageError(
        "--backbone is missing: what embeds the pictures, such as --backbone ViT-L-14 "
        "--pretrained openai."
    )


def _card(source: Source, backbone: Backbone, how: Looking) -> Saved:
    return Saved(
        backbone.name,
        backbone.pretrained,
        image_fingerprint(backbone.images()[0]),
        how.preprocess,
        backbone.shape.embed_dim,
        source.name,
    )


def _require_same(out: str, before: Saved, now: Saved) -> None:
    """Refuse to mix what different towers saw, or different folders hold.

    Raises:
        UsageError: the index is another backbone's or preprocessing's.
        FileError: it is another folder's.
    """
    if before.image_fingerprint != now.image_fingerprint:
        raise UsageError(
            f"{out} was made with {before.counted(0).label}, and {now.counted(0).label} sees "
            "pictures otherwise (image fingerprints "
            f"{before.image_fingerprint[:12]} and {now.image_fingerprint[:12]}). Leave --backbone "
            "out, or name another --out."
        )
    if before.preprocess != now.preprocess:
        raise UsageError(
            f"{out} was made with --preprocess {before.preprocess}. Pass it, or name another --out."
        )
    if before.source != now.source:
        raise FileError(
            f"{out} is the index of {before.source}, not of {now.source}. Name another --out."
        )
