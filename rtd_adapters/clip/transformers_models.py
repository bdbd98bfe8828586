"""Backbones in transformers' folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.errors import BackboneError, FileError, first_line
from rtd_adapters.io.json_files import read_json

NO_ROWS = (
    "rtd does not feed pictures to a NaFlex image tower, which takes them as rows of patches, more "
    "or fewer by their shape. Use a SigLIP 2 of fixed size (model_type siglip)."
)
NO_QUERIES = (
    "BLIP-2 gives each picture 32 vectors, of which a text takes the nearest, and rtd searches "
    "with one. Use another backbone where pictures are looked at; texts need none."
)


@dataclass(frozen=True)
class FolderKind:
    """What transformers makes of a folder of some type."""

    model: str
    """The class that has a text tower with its way to the joint space."""
    processor: str
    """The image transform where the folder names none."""
    embed_dim: tuple[str, ...]
    """Where its config has the width of the joint space; the first that is there counts."""
    text: str = "text_config"
    """Where its config has the text tower's sizes."""
    states: bool = False
    """Whether its image tower is CLIP's own, whose states methods read (`images`)."""
    without_images: str = ""
    """Why rtd puts no pictures through it, and what to do; empty where it does."""


SIGLIP_WIDTHS = ("text_config.projection_size", "text_config.hidden_size")

KINDS: Mapping[str, FolderKind] = {
    "clip": FolderKind("CLIPModel", "CLIPImageProcessor", ("projection_dim",), states=True),
    "metaclip_2": FolderKind(
        "MetaClip2Model", "CLIPImageProcessor", ("projection_dim",), states=True
    ),
    "siglip": FolderKind("SiglipModel", "SiglipImageProcessor", SIGLIP_WIDTHS),
    "siglip2": FolderKind(
        "Siglip2Model", "Siglip2ImageProcessor", SIGLIP_WIDTHS, without_images=NO_ROWS
    ),
    "blip": FolderKind(
        "BlipForImageTextRetrieval", "BlipImageProcessor", ("image_text_hidden_size",)
    ),
    "blip-2": FolderKind(
        "Blip2ForImageTextRetrieval",
        "BlipImageProcessor",
        ("image_text_hidden_size",),
        "qformer_config",
        without_images=NO_QUERIES,
    ),
}
"""By `model_type` in config.json."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Where a folder says how pictures are prepared."""
LARGEST = 1 << 24
"""Bytes of such a file; and the largest whole number that a config may hold."""


@dataclass(frozen=True)
class Processed:
    """An image processor of transformers as a transform: [3, H, W] of a picture."""

    processor: Any

    def __call__(self, picture: Any) -> Tensor:
        """Prepare one picture."""
        pixels: Tensor = self.processor(images=picture, return_tensors="pt")["pixel_values"][0]
        return pixels

    def __repr__(self) -> str:
        return repr(self.processor)


def load_transformers(folder: Path) -> tuple[nn.Module, Callable[[Any], Tensor] | None, str]:
    """The model in a local folder, its image transform, and why it has none where it has none.

    Code that lies in the folder is never run.

    Raises:
        BackboneError: the folder holds none that rtd knows, or not all of it.
        FileError: its config is damaged.
    """
    import transformers

    config = _config(folder)
    kind = _kind(config, folder)
    try:
        with _without_bar():
            model, report = getattr(transformers, kind.model).from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
    except Exception as error:
        raise BackboneError(
            f"{folder} does not load as a transformers {kind.model}: {first_line(error)}"
        ) from error
    if report["missing_keys"]:
        # transformers fills what a folder lacks with random numbers and only warns.
        first = ", ".join(sorted(report["missing_keys"])[:3])
        raise BackboneError(
            f"{folder} lacks {len(report['missing_keys'])} tensors ({first}, ...). "
            f"Save the full {kind.model} there, with its vision tower."
        )
    if kind.without_images:
        return model, None, kind.without_images
    return model, Processed(_processor(folder, config, kind)), ""


@contextmanager
def _without_bar() -> Iterator[None]:
    """Loading takes seconds at most, and commands say themselves what they do."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _processor(folder: Path, config: Any, kind: FolderKind) -> Any:
    """What the folder names, or the kind's own, for pictures of the model's size."""
    import transformers

    try:
        if any((folder / name).is_file() for name in PROCESSORS):
            return transformers.AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        size = config.vision_config.image_size
        whole = {"height": size, "width": size}
        crops = kind.processor.startswith("CLIP")
        sizes = {"size": {"shortest_edge": size}, "crop_size": whole} if crops else {"size": whole}
        return getattr(transformers, kind.processor)(**sizes)
    except Exception as error:
        raise BackboneError(
            f"{folder} has no image processor that loads ({first_line(error)}). Put "
            "preprocessor_config.json of the model's repository there."
        ) from error


def transformers_shape(folder: Path) -> BackboneShape:
    """The sizes that a folder's config tells.

    Raises:
        BackboneError: the folder holds none that rtd knows.
    """
    config = _config(folder)
    kind = _kind(config, folder)
    sizes = (_at(config, path) for path in kind.embed_dim)
    embed_dim = next(size for size in sizes if size is not None)
    image_width = config.vision_config.hidden_size if kind.states else 0
    return BackboneShape(embed_dim, getattr(config, kind.text).hidden_size, image_width)


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    path = folder / "config.json"
    if not path.is_file():
        raise BackboneError(f"{folder} has no config.json, so it is no transformers CLIP folder.")
    _require_sizes(read_json(path, largest=LARGEST), path)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise BackboneError(
            f"{path} is of no model that transformers knows: {first_line(error)}"
        ) from error


def _require_sizes(config: Any, path: Path) -> None:
    """Refuse a config whose numbers no model has: one would ask for all of a machine's memory."""
    if not isinstance(config, dict):
        raise FileError(f"{path} is no config of transformers: it holds no object.")
    for name, value in config.items():
        if isinstance(value, dict):
            _require_sizes(value, path)
        elif type(value) is int and value > LARGEST:
            raise FileError(
                f"{path}: {name} is {value:,}; no model has more than {LARGEST:,} of anything. "
                "Fetch it again."
            )


def _kind(config: Any, folder: Path) -> FolderKind:
    if config.model_type not in KINDS:
        raise BackboneError(
            f"{folder} holds a {config.model_type!r}; rtd knows {', '.join(KINDS)}. "
            "docs/towers.md lists what can be patched."
        )
    return KINDS[config.model_type]


def _at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name, None)
    return config
