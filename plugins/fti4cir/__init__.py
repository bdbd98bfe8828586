"""FTI4CIR (Lin et al., SIGIR 2024): a subject token and as many attribute tokens as stand out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rtd_adapters import BackboneShape, ImageFeatures, Method, Query, Reference, hookimpl

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


class Fti4cir(Method):
    """Prompt, selection and projection as in ZiChao111/FTI4CIR.

    There are as many attribute tokens as features stand out, 1 to 12 in the published checkpoint,
    and as many `*` after "with"; the templates below show one.

    Training has no picture. `states` lifts the reference caption's tokens to image states and goes
    the projection's whole way; `words` puts the caption's own words where attribute tokens would
    stand. The repository trains on such hybrids, with the words after the caption's first noun
    (src/i2t_model.py); the whole caption, and both uses for RTD, are our own idea.
    examples/benchmarks/methods.md compares them with *reuse*, a patch trained against SEARLE's
    one-token projection.
    """

    name = "fti4cir"
    summary = "FTI4CIR: a subject and up to 12 attributes, prompt 'a photo of * with * ... but ...'"
    reference_url = "https://github.com/ZiChao111/FTI4CIR"
    layout = "openai"
    placeholder = "*"
    composed_prompt = "a photo of * with * but {text}"
    bare_prompt = "a photo of * with *"
    backbone = ("ViT-L-14", "openai")
    checked_with = ("demo",)
    needs_states = True
    injections = ("call", "file", "launcher")

    def __init__(self, surrogate: Literal["states", "words"] = "states") -> None:
        self._surrogate = surrogate

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
        found = tensors.get("templates")
        templates = TEMPLATES if found is None else found.shape[1]
        module = FineGrainedInversion(
            shape.embed_dim, shape.text_width, shape.image_width, templates
        )
        return fill_projection(module, tensors, path)

    def composed_query(self, projection: nn.Module, reference: Reference) -> Query:
        """Composed prompts of reference captions."""
        endings = [f" but {text}" for text in reference.conditioning]
        return self._text_only(projection, reference, endings)

    def bare_query(self, projection: nn.Module, reference: Reference) -> Query:
        """Bare prompts of reference captions."""
        return self._text_only(projection, reference, [""] * len(reference.captions))

    def image_query(
        self, projection: nn.Module, image: ImageFeatures, texts: Sequence[str]
    ) -> Query:
        """Composed prompts with the tokens of the pictures' subjects and attributes."""
        endings = [f" but {image.tokenizer.clean(text)}" for text in texts]
        return _query(projection, image.embedding, _states(image), endings)

    def bare_image_query(
        self, projection: nn.Module, image: ImageFeatures, texts: Sequence[str]
    ) -> Query:
        """Bare prompts; the tokens do not depend on the texts."""
        return _query(projection, image.embedding, _states(image), [""] * len(texts))

    def _text_only(
        self, projection: nn.Module, reference: Reference, endings: Sequence[str]
    ) -> Query:
        if self._surrogate == "states":
            return _query(projection, reference.embedding, reference.states, endings)
        prompts = [
            f"a photo of * with {caption}{ending}"
            for caption, ending in zip(reference.captions, endings, strict=True)
        ]
        subject: Callable[[Tensor], Tensor] = projection.get_submodule("phi_s")
        return Query(prompts, subject(reference.embedding)[:, None])


def _query(
    projection: nn.Module, embedding: Tensor, states: Tensor, endings: Sequence[str]
) -> Query:
    tokens, counts = projection(embedding, states)
    stars = [" ".join("*" * count) for count in counts]
    prompts = [
        f"a photo of * with {star}{ending}" for star, ending in zip(stars, endings, strict=True)
    ]
    return Query(prompts, tokens)


def _states(image: ImageFeatures) -> Tensor:
    if image.tokens is None:
        raise ValueError("FTI4CIR reads image states; pass ImageFeatures with tokens.")
    return image.tokens


def _tensors(path: Path) -> dict[str, Tensor]:
    """The module's state dict, and its `topk` and `epsilon` as `selection`."""
    import torch

    from rtd_adapters import read_checkpoint, read_pickled_module, tensors_under

    if path.suffix == ".safetensors":
        return tensors_under(read_checkpoint(path), "", path)
    tensors, values = read_pickled_module(path, PICKLED)
    return tensors | {"selection": torch.tensor([values["topk"], values["epsilon"]])}


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add FTI4CIR."""
    register(Fti4cir())
