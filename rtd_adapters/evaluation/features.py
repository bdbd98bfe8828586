"""Image embeddings, computed once for a benchmark and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.images import ImageStates, image_states
from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.checkpoints import read_safetensors

if TYPE_CHECKING:
    from PIL.Image import Image

    from rtd_adapters.evaluation.benchmark import Benchmark

TARGET_RATIO = 1.25
"""How far from a square a picture may be before SEARLE's `targetpad` pads it."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a benchmark, as one image tower sees them.

    Args:
        backbone: with its image tower.
        benchmark: opens the pictures.
        preprocess: `clip`, the tower's own transform, or `targetpad`, SEARLE's: pictures are first
            padded with black until no side is more than 1.25 times the other.
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
        parts = [states.embedding for states in self._batches(ids, "embedding pictures")]
        found = torch.cat(parts) if parts else torch.empty(0, self.backbone.shape.embed_dim)
        if path:
            self._keep(path, found)
        return found

    def states(self, ids: Sequence[str]) -> ImageStates:
        """Embeddings and states of a few pictures; not kept, for they are large."""
        found = list(self._batches(ids, None))
        return ImageStates(
            torch.cat([part.embedding for part in found]),
            torch.cat([part.tokens for part in found]),
        )

    @torch.no_grad()
    def _batches(self, ids: Sequence[str], title: str | None) -> Iterator[ImageStates]:
        model: Any = self.backbone.model
        device = next(model.parameters()).device
        starts = range(0, len(ids), self.batch_size)
        for start in tqdm(starts, desc=title, disable=self.quiet or title is None or None):
            pictures = [self._pixels(image) for image in ids[start : start + self.batch_size]]
            yield image_states(model, torch.stack(pictures).to(device))

    def _pixels(self, image: str) -> Tensor:
        opened = self.benchmark.open_image(image)
        if self.preprocess == "targetpad":
            opened = padded(opened)
        transform: Callable[..., Any] | None = self.backbone.preprocess
        assert transform is not None
        found = transform(opened)
        return found if isinstance(found, Tensor) else found["pixel_values"][0]

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

    def _keep(self, path: Path, found: Tensor) -> None:
        from safetensors.torch import save_file

        with whole_file(path) as temporary:
            save_file({"embeddings": found.cpu().contiguous()}, temporary)


def padded(image: Image) -> Image:
    """The picture in the middle of a black frame, if one side is over 1.25 times the other.

    The padding is that of SEARLE's `TargetPad` (src/data_utils.py): the longer side over 1.25 is
    the shorter one's new length.
    """
    from PIL import Image as images

    width, height = image.size
    if max(width, height) / min(width, height) < TARGET_RATIO:
        return image
    side = max(width, height) / TARGET_RATIO
    across, down = max(int((side - width) / 2), 0), max(int((side - height) / 2), 0)
    frame = images.new("RGB", (width + 2 * across, height + 2 * down))
    frame.paste(image, (across, down))
    return frame
