"""A benchmark's image embeddings, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.image_fingerprint import image_fingerprint
from rtd_adapters.clip.images import ImageStates
from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.pictures import picture_embeddings, picture_states
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.checkpoints import read_safetensors

if TYPE_CHECKING:
    from PIL.Image import Image

    from rtd_adapters.evaluation.benchmark import Benchmark

EMBEDDINGS, CONTENT = "embeddings", "sha256"
"""Names within a kept file: of the tensor, and of its hash."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a benchmark, as one image tower sees them.

    Args:
        backbone: with its image tower.
        benchmark: opens the pictures.
        preprocess: as in `embed_pictures`.
        batch_size: pictures at a time.
        folder: where embeddings are kept; None keeps none.
        quiet: no progress bar.
    """

    backbone: Backbone
    benchmark: Benchmark
    preprocess: str
    batch_size: int
    folder: Path | None
    quiet: bool

    def embeddings(self, ids: Sequence[str]) -> Tensor:
        """[N, embed_dim], unnormalised.

        Raises:
            FileError: a picture is missing or damaged.
        """
        path = self.folder / f"{self._key(ids)}.safetensors" if self.folder else None
        if path and (kept := _kept(path)) is not None:
            return kept
        rows = [
            picture_embeddings(self.backbone, pictures, self.preprocess)
            for pictures in self._batches(ids, "embedding pictures")
        ]
        embeddings = torch.cat(rows) if rows else torch.empty(0, self.backbone.shape.embed_dim)
        if path:
            _keep(path, embeddings)
        return embeddings

    def states(self, ids: Sequence[str]) -> ImageStates:
        """Embeddings and states of a few pictures; not kept, for they are large."""
        batches = [
            picture_states(self.backbone, pictures, self.preprocess)
            for pictures in self._batches(ids, None)
        ]
        return ImageStates(
            torch.cat([batch.embedding for batch in batches]),
            torch.cat([batch.tokens for batch in batches]),
        )

    def _batches(self, ids: Sequence[str], title: str | None) -> Iterator[list[Image]]:
        starts = range(0, len(ids), self.batch_size)
        for start in tqdm(starts, desc=title, disable=self.quiet or title is None or None):
            batch = ids[start : start + self.batch_size]
            yield [self.benchmark.open_image(image) for image in batch]

    def _key(self, ids: Sequence[str]) -> str:
        """Of everything the embeddings depend on."""
        digest = hashlib.sha256()
        for part in (self.benchmark.source, self.preprocess, repr(self.backbone.preprocess)):
            digest.update(part.encode() + b"\0")
        if self.backbone.model is not None:
            digest.update(image_fingerprint(self.backbone.model).encode())
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


def _kept(path: Path) -> Tensor | None:
    """Embeddings as they were written; None where there are none, or damaged ones."""
    if not path.is_file():
        return None
    try:
        tensors, metadata = read_safetensors(path)
    except FileError:
        tensors, metadata = {}, {}
    embeddings = tensors.get(EMBEDDINGS)
    if embeddings is not None and metadata.get(CONTENT) == _content(embeddings):
        return embeddings
    warnings.warn(
        f"{path} does not hold what was written there; its pictures are embedded again. "
        "Check the disk.",
        stacklevel=3,
    )
    return None


def _keep(path: Path, embeddings: Tensor) -> None:
    from safetensors.torch import save_file

    whole = embeddings.cpu().contiguous()
    with whole_file(path) as temporary:
        save_file({EMBEDDINGS: whole}, temporary, metadata={CONTENT: _content(whole)})


def _content(embeddings: Tensor) -> str:
    """sha256 of a tensor's form and bytes."""
    digest = hashlib.sha256(f"{embeddings.dtype} {list(embeddings.shape)}".encode())
    digest.update(embeddings.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
