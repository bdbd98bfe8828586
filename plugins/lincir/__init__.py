"""LinCIR (Gu et al., CVPR 2024): SEARLE's network, trained on text alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtd_adapters import BackboneShape, Method, hookimpl

from .export import register_exporters as register_exporters
from .training import LincirTraining

if TYPE_CHECKING:
    from torch import Tensor, nn


class Lincir(Method):
    """Prompts as in navervision/lincir (validate.py); its text tower is transformers'.

    Its backbones are `large` (openai/clip-vit-large-patch14), `huge`
    (laion/CLIP-ViT-H-14-laion2B-s32B-b79K) and `giga` (Geonmo/CLIP-Giga-config-fixed), which are
    ViT-L-14/openai, ViT-H-14/laion2b_s32b_b79k and ViT-bigG-14/laion2b_s39b_b160k in open_clip.
    Evaluation tokenizes with OpenAI's byte pairs and a bare `$`; so does training here.
    """

    name = "lincir"
    summary = "LinCIR: textual inversion trained on text alone, prompt 'a photo of $ that ...'"
    reference_url = "https://github.com/navervision/lincir"
    layout = "hf"
    placeholder = "$"
    composed_prompt = "a photo of $ that {text}"
    bare_prompt = "a photo of $"
    backbone = ("ViT-L-14", "openai")
    checked_with = ("demo",)
    injections = ("call", "file", "launcher")
    projection_training = LincirTraining()

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """Phi with hidden width 4 x embed_dim."""
        from ..searle.phi import Phi

        return Phi(shape.embed_dim, 4 * shape.embed_dim, shape.text_width)

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """Phi from a `phi_*.pt` or `lincir_*.pt`, a dict whose 'Phi' entry is a state dict."""
        from rtd_adapters import fill_projection, read_checkpoint, tensors_under

        tensors = tensors_under(read_checkpoint(path), "Phi", path)
        return fill_projection(self.build_projection(shape), tensors, path)

    def projection_checkpoint(
        self, tensors: Mapping[str, Tensor], clip: Mapping[str, Tensor] | None
    ) -> dict[str, Any]:
        """As train_phi.py writes it and validate.py reads it."""
        return {"epoch": 0, "Phi": dict(tensors)}


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add LinCIR."""
    register(Lincir())
