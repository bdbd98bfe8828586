"""SEARLE (Baldrati et al., ICCV 2023): one pseudo token from a three-layer MLP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtd_adapters import BackboneShape, Method, hookimpl

from .export import register_exporters as register_exporters
from .training import SearleTraining

if TYPE_CHECKING:
    from torch import Tensor, nn


class Searle(Method):
    """Prompt, placeholder and projection as in miccunifi/SEARLE (src/validate.py, src/phi.py)."""

    name = "searle"
    summary = "SEARLE: textual inversion by a distilled MLP, prompt 'a photo of $ that ...'"
    reference_url = "https://github.com/miccunifi/SEARLE"
    layout = "openai"
    activation = "quick_gelu"
    placeholder = "$"
    composed_prompt = "a photo of $ that {text}"
    bare_prompt = "a photo of $"
    backbone = ("ViT-L-14", "openai")
    checked_with = ("demo",)
    injections = ("call", "file", "launcher")
    projection_training = SearleTraining()

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """Phi with hidden width 4 x embed_dim."""
        from .phi import Phi

        return Phi(shape.embed_dim, 4 * shape.embed_dim, shape.text_width)

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """Phi from a released `SEARLE_ViT-*.pt`, a dict whose 'Phi' entry is a state dict."""
        from rtd_adapters import fill_projection, read_checkpoint, tensors_under

        tensors = tensors_under(read_checkpoint(path), "Phi", path)
        return fill_projection(self.build_projection(shape), tensors, path)

    def projection_checkpoint(
        self, tensors: Mapping[str, Tensor], clip: Mapping[str, Tensor] | None
    ) -> dict[str, Any]:
        """As train_phi.py writes it."""
        return {"epoch": 0, "Phi": dict(tensors)}


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add SEARLE."""
    register(Searle())
