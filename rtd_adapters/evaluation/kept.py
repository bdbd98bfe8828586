"""Picture embeddings on disk: a list's whole, or shards of it, as far as a run has come."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rtd_adapters.errors import FileError
from rtd_adapters.io.atomic import PART, sweep, whole_file
from rtd_adapters.io.cache import cache_root
from rtd_adapters.io.checkpoints import read_safetensors

EMBEDDINGS, CONTENT = "embeddings", "sha256"
"""Names within a kept file: of the tensor, and of its hash."""
WHOLE, SHARD = ".safetensors", ".shard"
"""How the names of files end."""


@dataclass(frozen=True)
class KeptEmbeddings:
    """The embeddings of one list of pictures.

    Args:
        folder: of all lists.
        key: of this one, and of everything its embeddings depend on.
    """

    folder: Path
    key: str

    def whole(self) -> Tensor | None:
        """As `keep` wrote it; None where there is nothing, or something damaged, which is said."""
        return _read(self.folder / f"{self.key}{WHOLE}")

    def shard(self, part: range) -> Tensor | None:
        """As `keep_shard` wrote it; None as in `whole`."""
        return _read(self._place(part))

    def keep_shard(self, part: range, embeddings: Tensor) -> None:
        """Write the embeddings of the pictures at some places of the list.

        Raises:
            FileError: the disk refuses.
        """
        _write(self._place(part), embeddings)

    def keep(self, embeddings: Tensor) -> None:
        """Write all of the list, whose shards go.

        Raises:
            FileError: the disk refuses.
        """
        _write(self.folder / f"{self.key}{WHOLE}", embeddings)
        self.drop_shards()

    def drop_shards(self) -> None:
        """Remove the list's shards."""
        for path in self.folder.glob(f"{self.key}.*{SHARD}"):
            path.unlink(missing_ok=True)

    def _place(self, part: range) -> Path:
        return self.folder / f"{self.key}.{part.start}-{part.stop}{SHARD}"


@dataclass(frozen=True)
class KeptPictures:
    """What lies on disk of all lists, as `rtd cache list` shows it."""

    lists: int
    """Whole ones."""
    unfinished: int
    """Those of which there are shards only."""
    megabytes: float


def pictures_folder() -> Path:
    """Where embeddings are kept."""
    return cache_root() / "pictures"


def kept_pictures() -> KeptPictures:
    """What the cache holds of pictures."""
    files = _files()
    whole = {_key(path) for path in files if path.suffix == WHOLE}
    unfinished = {_key(path) for path in files} - whole
    return KeptPictures(len(whole), len(unfinished), _megabytes(files))


def clear_pictures() -> float:
    """Delete all embeddings, and nothing else that lies there; returns the megabytes freed.

    A run that is at work goes on; what killed ones left half-written goes too.
    """
    files = _files()
    freed = _megabytes(files)
    for path in files:
        path.unlink(missing_ok=True)
    for left in pictures_folder().glob(f".*{PART}"):
        sweep(left.with_name(left.name[1:].rsplit(".", 2)[0]))
    return freed


def _files() -> list[Path]:
    return [path for end in (WHOLE, SHARD) for path in pictures_folder().glob(f"*{end}")]


def _key(path: Path) -> str:
    return path.name.partition(".")[0]


def _megabytes(files: list[Path]) -> float:
    return sum(path.stat().st_size for path in files) / 1e6


def _read(path: Path) -> Tensor | None:
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
        stacklevel=6,  # whoever asks `Pictures`
    )
    return None


def _write(path: Path, embeddings: Tensor) -> None:
    from safetensors.torch import save_file

    whole = embeddings.contiguous()
    with whole_file(path) as temporary:
        save_file({EMBEDDINGS: whole}, temporary, metadata={CONTENT: _content(whole)})


def _content(embeddings: Tensor) -> str:
    """sha256 of a tensor's form and bytes."""
    digest = hashlib.sha256(f"{embeddings.dtype} {list(embeddings.shape)}".encode())
    digest.update(embeddings.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
