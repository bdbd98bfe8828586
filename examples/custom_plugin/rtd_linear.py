"""Linear: one pseudo token from one linear layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rtd_adapters import BackboneShape, Method, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Linear(Method):
    """Says how the repository's prompts, projection and tensor names work."""

    name = "linear"
    summary = "Linear: a linear projection, prompt 'a photo of $ that ...'"
    reference_url = "https://example.org/linear"
    layout = "openai"
    placeholder = "$"
    composed_prompt = "a photo of $ that {text}"
    bare_prompt = "a photo of $"
    backbone = ("ViT-L-14", "openai")
    injections = ("call",)

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """[B, embed_dim] to [B, text_width]."""
        from torch import nn

        return nn.Linear(shape.embed_dim, shape.text_width)

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """The repository's checkpoint, a dict whose 'projection' entry is a state dict."""
        from rtd_adapters import fill_projection, read_checkpoint, tensors_under

        tensors = tensors_under(read_checkpoint(path), "projection", path)
        return fill_projection(self.build_projection(shape), tensors, path)


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add Linear."""
    register(Linear())
