"""FTI4CIR (Lin et al., SIGIR 2024): a subject token and as many attribute tokens as stand out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rtd_adapters import BackboneShape, Composition, Method, MethodOption, Reference, hookimpl

from .export import register_exporters as register_exporters

if TYPE_CHECKING:
    from torch import Tensor, nn

PICKLED = (
    "i2t_model.IMG2TEXT",
    "i2t_model.Phi",
    "MHTransformer.Transformer",
    "MHTransformer.TransformerLayer",
    "MHTransformer.MultiHeadAttention",
    "MHTransformer.MlpTransformer",
)
"""Classes of the repository that its checkpoint, a pickled module, is made of."""
SELECTION = ("topk", "epsilon")
"""The module's numbers that decide how many attributes stand out."""


class Fti4cir(Method):
    """Prompt, selection and projection as in ZiChao111/FTI4CIR.

    There are as many attribute tokens as features stand out, 1 to 12 in the published checkpoint,
    and as many `*` after "with"; the templates below show one.

    Training has no picture. With the stand-in `tokens` lifted captions go the projection's whole
    way (rtd_adapters/methods/stand_ins.py); with `words` the caption's own words stand where
    attribute tokens would. The repository trains on such hybrids, with the words after the
    caption's first noun (src/i2t_model.py); the whole caption, and both uses for RTD, are our own.
    examples/benchmarks/methods.md compares them with *reuse*, a patch trained against SEARLE's
    one-token projection.
    """

    name = "fti4cir"
    summary = "FTI4CIR: a subject and up to 12 attributes, prompt 'a photo of * with * ... but ...'"
    reference_url = "https://github.com/ZiChao111/FTI4CIR"
    layout = "openai"
    activation = "quick_gelu"
    placeholder = "*"
    composed_prompt = "a photo of * with * but {text}"
    bare_prompt = "a photo of * with *"
    backbone = ("ViT-L-14", "openai")
    checked_with = ("demo",)
    needs_states = True
    reuses = "searle"
    injections = ("call", "file", "launcher")
    options = MappingProxyType(
        {
            "stand_in": MethodOption(
                "what stands for a picture in training: lifted tokens, the caption's words, or "
                "nothing, with SEARLE's projection",
                default="tokens",
                choices=("tokens", "words", "reuse"),
            )
        }
    )

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """IMG2TEXT with 24 templates."""
        from .inversion import FineGrainedInversion

        return FineGrainedInversion(shape.embed_dim, shape.text_width, shape.image_width)

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """IMG2TEXT from a `model_*.pth` of train.py, a module pickled whole, or a converted file.

        Its tensors and two of its numbers are read; none of its code is imported or run.
        """
        from rtd_adapters import fill_projection

        from .inversion import TEMPLATES, FineGrainedInversion

        tensors = _tensors(path)
        stored = tensors.get("templates")
        templates = TEMPLATES if stored is None else stored.shape[1]
        module = FineGrainedInversion(
            shape.embed_dim, shape.text_width, shape.image_width, templates
        )
        return fill_projection(module, tensors, path)

    def composed(
        self, projection: nn.Module, reference: Reference, texts: Sequence[str]
    ) -> Composition:
        """Composed prompts."""
        return self._ending([f" but {text}" for text in texts], projection, reference)

    def bare(
        self, projection: nn.Module, reference: Reference, texts: Sequence[str] | None = None
    ) -> Composition:
        """Bare prompts; the tokens do not depend on texts."""
        return self._ending([""] * len(reference), projection, reference)

    def _ending(
        self, endings: Sequence[str], projection: nn.Module, reference: Reference
    ) -> Composition:
        if reference.captions is not None and self.stand_in == "words":
            attributes: Sequence[str] = reference.captions
            subject: Callable[[Tensor], Tensor] = projection.get_submodule("phi_s")
            tokens = subject(reference.embedding)[:, None]
        else:
            tokens, counts = projection(reference.embedding, reference.states)
            attributes = [" ".join("*" * count) for count in counts]
        pairs = zip(attributes, endings, strict=True)
        return Composition.of([f"a photo of * with {a}{ending}" for a, ending in pairs], tokens)


def _tensors(path: Path) -> dict[str, Tensor]:
    """The module's state dict, and its `topk` and `epsilon` as `selection`."""
    import torch

    from rtd_adapters import BackboneError, read_checkpoint, read_pickled_module, tensors_under

    if path.suffix == ".safetensors":
        return tensors_under(read_checkpoint(path), "", path)
    tensors, values = read_pickled_module(path, PICKLED)
    lacking = [name for name in SELECTION if not isinstance(values.get(name), (int, float))]
    if lacking:
        raise BackboneError(
            f"{path} holds a pickled module without numbers {' and '.join(lacking)}, so it is no "
            "IMG2TEXT of FTI4CIR's train.py. Pass its model_*.pth."
        )
    return tensors | {"selection": torch.tensor([values[name] for name in SELECTION])}


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add FTI4CIR."""
    register(Fti4cir())
