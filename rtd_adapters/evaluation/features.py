"""A benchmark's image embeddings, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.images import ImageStates
from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.pictures import picture_embeddings, picture_states
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.checkpoints import read_safetensors

if TYPE_CHECKING:
    from PIL.Image import Image

    from rtd_adapters.evaluation.benchmark import Benchmark


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
    preprocess: str = "clip"
    batch_size: int = 64
    folder: Path | None = None
    quiet: bool = False

    def embeddings(self, ids: Sequence[str]) -> Tensor:
        """[N, embed_dim], unnormalised.

        Raises:
            FileError: a picture is missing or damaged.
        """
        path = self.folder / f"{self._key(ids)}.safetensors" if self.folder else None
        if path and path.is_file():
            try:
                return read_safetensors(path)[0]["embeddings"]
            except (FileError, KeyError):
                path.unlink(missing_ok=True)  # damaged: computed again
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
        for part in (self.benchmark.source, self.preprocess, repr(self.backbone.preprocess), *ids):
            digest.update(part.encode() + b"\0")
        model: Any = self.backbone.model
        for name, tensor in sorted(model.state_dict().items()):
            if name.startswith("vis"):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()[:40]


def _keep(path: Path, embeddings: Tensor) -> None:
    from safetensors.torch import save_file

    with whole_file(path) as temporary:
        save_file({"embeddings": embeddings.cpu().contiguous()}, temporary)
