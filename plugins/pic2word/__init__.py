"""Pic2Word (Saito et al., CVPR 2023): one pseudo token from a small mapping network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters import BackboneShape, Method, hookimpl

from .export import register_exporters as register_exporters

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .im2text import Im2Text


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

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """IM2TEXT with two blocks of width 512."""
        from .im2text import Im2Text

        return Im2Text(shape.embed_dim, shape.text_width)

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """IM2TEXT from a checkpoint of main.py, a dict whose 'state_dict_img2text' it is.

        The width between its layers and their number (`--middle_dim`, `--n-layer`) are read off
        the tensors.
        """
        from rtd_adapters import fill_projection, read_checkpoint, tensors_under

        tensors = tensors_under(read_checkpoint(path), "state_dict_img2text", path)
        return fill_projection(_sized_like(tensors, shape), tensors, path)


def _sized_like(tensors: Mapping[str, Tensor], shape: BackboneShape) -> Im2Text:
    from .im2text import BLOCKS, MIDDLE_DIM, Im2Text

    blocks = sum(name.endswith(".0.weight") for name in tensors) or BLOCKS
    first = tensors.get("layers.0.0.weight")
    middle_dim = MIDDLE_DIM if first is None else len(first)
    return Im2Text(shape.embed_dim, shape.text_width, middle_dim, blocks)


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add Pic2Word."""
    register(Pic2Word())
