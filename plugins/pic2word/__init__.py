"""Pic2Word (Saito et al., CVPR 2023): one pseudo token from a small mapping network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtd_adapters import BackboneError, BackboneShape, Method, hookimpl

from .export import OF_KEDS, register_exporters as register_exporters
from .training import Pic2WordTraining

if TYPE_CHECKING:
    from torch import Tensor, nn


class Pic2Word(Method):
    """Prompts and projection as in google-research/composed_image_retrieval.

    The composed prompt is that of its CIRR evaluation (src/data.py). Its training inserts the token
    after "a photo of", which is the same sequence as the bare prompt with the token in place.
    """

    name = "pic2word"
    summary = "Pic2Word: a mapping network trained on images alone, prompt 'a photo of * , ...'"
    reference_url = "https://github.com/google-research/composed_image_retrieval"
    layout = "openai"
    activation = "quick_gelu"
    placeholder = "*"
    composed_prompt = "a photo of * , {text}"
    bare_prompt = "a photo of *"
    backbone = ("ViT-L-14", "openai")
    checked_with = ("demo",)
    injections = ("call", "file", "launcher")
    projection_training = Pic2WordTraining()

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """IM2TEXT with two blocks of width 512."""
        from .im2text import Im2Text

        return Im2Text(shape.embed_dim, shape.text_width)

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """IM2TEXT from a checkpoint of main.py, a dict whose 'state_dict_img2text' it is.

        The width between its layers and their number (`--middle_dim`, `--n-layer`) are read off
        the tensors. KEDs' checkpoint holds such a network too, and is refused.
        """
        from rtd_adapters import fill_projection, read_checkpoint, tensors_under

        from .im2text import Im2Text

        checkpoint = read_checkpoint(path)
        _require_alone(checkpoint, path)
        tensors = tensors_under(checkpoint, "state_dict_img2text", path)
        module = Im2Text.sized_like(tensors, shape.embed_dim, shape.text_width)
        return fill_projection(module, tensors, path)

    def projection_checkpoint(
        self, tensors: Mapping[str, Tensor], clip: Mapping[str, Tensor] | None
    ) -> dict[str, Any]:
        """As its scripts read it (`--resume`), which want the whole CLIP beside it."""
        own = {"epoch": 0, "name": "rtd", "state_dict_img2text": dict(tensors)}
        return own if clip is None else own | {"state_dict": dict(clip)}


def _require_alone(checkpoint: object, path: Path) -> None:
    """Refuse KEDs' checkpoint: its mapping network has the same tensors, and is one part of four.

    Raises:
        BackboneError: it is one.
    """
    if isinstance(checkpoint, Mapping) and OF_KEDS in checkpoint:
        raise BackboneError(
            f"{path} is a checkpoint of KEDs ({OF_KEDS}), whose mapping network alone is no "
            "projection of Pic2Word. Pass --method keds."
        )


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add Pic2Word."""
    register(Pic2Word())
