"""A benchmark's image embeddings, computed once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.image_fingerprint import image_fingerprint
from rtd_adapters.clip.images import ImageStates
from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import EvaluationError, FileError
from rtd_adapters.evaluation.image_tower import ImageTower
from rtd_adapters.evaluation.kept import KeptEmbeddings, pictures_folder
from rtd_adapters.evaluation.loading import PictureFiles
from rtd_adapters.evaluation.pictures import picture_transform
from rtd_adapters.evaluation.rows import Rows, lost_rows, replaced
from rtd_adapters.evaluation.shards import Shards

if TYPE_CHECKING:
    from rtd_adapters.evaluation.benchmark import Benchmark
    from rtd_adapters.evaluation.inputs import Evaluation

ALONE = Processes()


@dataclass(frozen=True)
class Pictures:
    """The pictures of a benchmark, as one image tower sees them.

    Args:
        backbone: with its image tower.
        benchmark: opens the pictures.
        preprocess: as in `embed_pictures`.
        batch_size: pictures at a time.
        folder: where embeddings are kept; None keeps them in memory.
        quiet: no progress bar.
        workers: processes that read pictures; with 0 this one does.
        precision: of the image tower, one of `PRECISIONS`.
        skip_broken: whether a picture that cannot be read is NaN instead of an error.
        held: embeddings of whole lists, by key: in memory, or mapped from where they are kept,
            which has been checked once.
    """

    backbone: Backbone
    benchmark: Benchmark
    preprocess: str
    batch_size: int
    folder: Path | None
    quiet: bool
    workers: int = 0
    precision: str = "no"
    skip_broken: bool = False
    held: dict[str, Rows] = field(default_factory=dict, repr=False, compare=False)

    def embeddings(self, ids: Sequence[str]) -> Rows:
        """[N, embed_dim] in fp32 on the CPU, unnormalised; NaN for a picture that is left out.

        What is kept on disk is not read into memory but for the rows that are taken of it.

        Args:
            ids: of the pictures; they are embedded where `extract` has not done so.

        Raises:
            FileError, EvaluationError: as `extract`.
        """
        key = self._key(ids)
        if key not in self.held:
            self._extract(key, ids, ALONE)
        return self.held[key]

    def extract(self, ids: Sequence[str], processes: Processes) -> list[int]:
        """Embed a list as far as it is not kept; returns the places of what is left out.

        Args:
            ids: of the pictures.
            processes: who share the work; all of them ask for the same. Of what is kept on disk
                the first one alone has the embeddings then.

        Raises:
            FileError: a picture is missing or damaged, or the disk refuses.
            EvaluationError: an embedding is not finite, or memory does not do.
            TrainingError: another process has ended.
        """
        return self._extract(self._key(ids), ids, processes)

    def _extract(self, key: str, ids: Sequence[str], processes: Processes) -> list[int]:
        tower, shape = self._tower(), (len(ids), self.backbone.shape.embed_dim)
        kept = KeptEmbeddings(self.folder, key, shape) if self.folder else None
        quiet = self.quiet or not processes.is_main
        shards = Shards(shape, self.batch_size, kept, processes, tower.device, quiet)

        def embed(batches: Sequence[range]) -> Iterator[Tensor]:
            return self._embedded(tower, ids, batches)

        rows = shards.embeddings(embed)
        marks = torch.zeros(len(ids), dtype=torch.int, device=tower.device)
        if rows is not None:
            marks[lost_rows(rows)] = 1
        lost = processes.from_first(marks).nonzero().flatten().cpu()
        again = self._again(tower, ids, lost, processes)
        sound = ~again.isnan().any(1)
        if rows is not None:
            self.held[key] = replaced(rows, lost[sound], again[sound]) if sound.any() else rows
        return lost[~sound].tolist()

    def states(self, ids: Sequence[str]) -> ImageStates:
        """Embeddings and states of a few pictures, on their device; not kept, for they are large.

        Raises:
            FileError: a picture is missing or damaged.
            EvaluationError: memory does not do.
            BackboneError: the image tower has no states that rtd knows.
        """
        tower, files = self._tower(), self._files(ids)
        batches = [
            range(len(ids))[start : start + self.batch_size]
            for start in range(0, len(ids), self.batch_size)
        ]
        seen = []
        for pixels, wrong in files.batches(batches, 0, tower.device):
            _require_read(wrong)
            seen.append(tower.states(pixels.to(tower.device)))
        return ImageStates(
            torch.cat([part.embedding for part in seen]),
            torch.cat([part.tokens for part in seen]),
        )

    def _embedded(
        self, tower: ImageTower, ids: Sequence[str], batches: Sequence[range]
    ) -> Iterator[Tensor]:
        """[B, embed_dim] of each batch, NaN where a picture is left out."""
        loaded = self._files(ids).batches(batches, self.workers, tower.device)
        for places, (pixels, wrong) in zip(batches, loaded, strict=True):
            if not self.skip_broken:
                _require_read(wrong)
            sound = [row for row, words in enumerate(wrong) if words is None]
            rows = torch.full((len(wrong), self.backbone.shape.embed_dim), torch.nan)
            rows = rows.to(tower.device)
            if sound:
                seen = tower.embeddings(pixels.to(tower.device, non_blocking=True))
                self._require_finite(seen, [ids[places[row]] for row in sound])
                rows[sound] = seen
            yield rows

    def _require_finite(self, embeddings: Tensor, ids: Sequence[str]) -> None:
        finite = embeddings.isfinite().all(1)
        if not finite.all():
            image = ids[int((~finite).nonzero()[0])]
            raise EvaluationError(
                f"{self.backbone.label} gives no finite embedding of the picture {image!r} with "
                f"--precision {self.precision}. Pass --precision bf16 or no."
            )

    def _again(
        self, tower: ImageTower, ids: Sequence[str], lost: Tensor, processes: Processes
    ) -> Tensor:
        """[K, embed_dim] of pictures that were left out, as far as they can be read by now.

        Raises:
            FileError: one cannot, and nothing is to be left out.
        """
        again = torch.empty(len(lost), self.backbone.shape.embed_dim, device=tower.device)
        if len(lost) and processes.is_main:
            alone = [range(place, place + 1) for place in lost.tolist()]
            again[:] = torch.cat(list(self._embedded(tower, ids, alone)))
        return processes.from_first(again).cpu() if len(lost) else again.cpu()

    def _tower(self) -> ImageTower:
        return ImageTower(self.backbone.images()[0], self.precision)

    def _files(self, ids: Sequence[str]) -> PictureFiles:
        transform = picture_transform(self.backbone, self.preprocess)
        return PictureFiles(ids, self.benchmark.open_image, transform)

    def _key(self, ids: Sequence[str]) -> str:
        """Of everything the embeddings depend on."""
        digest = hashlib.sha256()
        model, transform = self.backbone.images()
        kind = next(model.parameters()).device.type
        for part in (self.benchmark.source, self.preprocess, repr(transform), self.precision, kind):
            digest.update(part.encode() + b"\0")
        digest.update(image_fingerprint(model).encode())
        for image in ids:
            digest.update(f"{image}\0{self._file_state(image)}\0".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:40]

    def _file_state(self, image: str) -> str:
        """What changes with a picture's file; the picture itself is not read."""
        if self.benchmark.image_file is None:
            return ""
        path = self.benchmark.image_file(image)
        try:
            state = path.stat()
        except OSError:
            return f"{path} is missing"
        return f"{path} {state.st_size} {state.st_mtime_ns}"


def pictures_of(evaluation: Evaluation) -> Pictures:
    """Those of an evaluation, as its options have them."""
    options = evaluation.options
    return Pictures(
        evaluation.backbone,
        evaluation.benchmark,
        options.preprocess,
        options.batch_size,
        pictures_folder() if options.cache else None,
        options.quiet,
        options.workers,
        options.precision,
        options.skip_broken,
        evaluation.held,
    )


def _require_read(wrong: Sequence[str | None]) -> None:
    """Refuse a batch of which a picture could not be read.

    Raises:
        FileError: one could not; the first is named.
    """
    if words := next(filter(None, wrong), None):
        raise FileError(words)
