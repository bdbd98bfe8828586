"""Context-I2W (Tang et al., AAAI 2024): a pseudo token that depends on the query's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rtd_adapters import BackboneShape, ImageFeatures, Method, Query, Reference, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rtd_adapters import TextTower, Tokenizer

REPLACE = "<|replace|>"
PUBLISHED_WIDTH = 1024
"""Of the states that the published checkpoint reads; its extractor has 8 heads."""


class ContextI2W(Method):
    """Prompts, tokenizer and projection as in Pter61/context-i2w.

    The projection looks at the composed prompt's own embedding, with the placeholder's row left in
    place (src/eval_utils.py), computed by whatever tower composes the query: base or patched.

    Training has no picture (our own idea, all of it). The projection sees the tower being trained,
    without gradient, as in the repository's evaluation, and in the picture's place either the
    reference caption's tokens lifted to image states (`tokens`) or the caption as a whole in every
    patch (`caption`). examples/benchmarks/methods.md compares them with *reuse*, a patch trained
    against SEARLE's one-token projection.
    """

    name = "context_i2w"
    summary = "Context-I2W: one token turned by the text, prompt 'a photo of <|replace|> , ...'"
    reference_url = "https://github.com/Pter61/context-i2w"
    layout = "openai"
    placeholder = REPLACE
    composed_prompt = f"a photo of {REPLACE} , {{text}}"
    bare_prompt = f"a photo of {REPLACE}"
    backbone = ("ViT-L-14", "openai")
    checked_with = ("demo",)
    needs_states = True
    injections = ("call", "file", "launcher")

    def __init__(self, surrogate: Literal["tokens", "caption"] = "tokens") -> None:
        self._surrogate = surrogate

    def tokenizer(self, context_length: int) -> Tokenizer:
        """Byte pairs with the placeholder at id 49405, in place of the last merge ("jekyll")."""
        from rtd_adapters import Tokenizer

        return Tokenizer(context_length, REPLACE, added_token=REPLACE)

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """IM2TEXT_OWM_Attn; as many heads per state width as in the published checkpoint."""
        from .rotator import ContextRotator

        heads = max(1, 8 * shape.image_width // PUBLISHED_WIDTH)
        return ContextRotator(shape.embed_dim, shape.text_width, shape.image_width, heads)

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """IM2TEXT_OWM_Attn from a checkpoint of main.py, under 'state_dict_img2text'."""
        from rtd_adapters import fill_projection, read_checkpoint, tensors_under

        from .rotator import HEAD_WIDTH, ContextRotator

        tensors = tensors_under(read_checkpoint(path), "state_dict_img2text", path)
        query = tensors.get("VT_Extractor.layers.0.0.to_q.weight")
        heads = 8 if query is None else len(query) // HEAD_WIDTH
        module = ContextRotator(shape.embed_dim, shape.text_width, shape.image_width, heads)
        return fill_projection(module, tensors, path)

    def composed_query(self, projection: nn.Module, reference: Reference) -> Query:
        """Composed prompts; the projection sees the lifted caption and the trained tower."""
        prompts = [self.composed_prompt.format(text=text) for text in reference.conditioning]
        return self._text_only(projection, reference, prompts)

    def bare_query(self, projection: nn.Module, reference: Reference) -> Query:
        """Bare prompts, likewise."""
        return self._text_only(projection, reference, [self.bare_prompt] * len(reference.captions))

    def image_query(
        self, projection: nn.Module, image: ImageFeatures, texts: Sequence[str]
    ) -> Query:
        """Composed prompts; the projection sees the picture's states and the tower in use."""
        prompts = [self.composed_prompt.format(text=text) for text in texts]
        return Query(prompts, self._from_image(projection, image, prompts))

    def bare_image_query(
        self, projection: nn.Module, image: ImageFeatures, texts: Sequence[str]
    ) -> Query:
        """Bare prompts with the pseudo tokens that these texts turn the pictures into."""
        prompts = [self.composed_prompt.format(text=text) for text in texts]
        return Query([self.bare_prompt] * len(texts), self._from_image(projection, image, prompts))

    def _text_only(
        self, projection: nn.Module, reference: Reference, prompts: Sequence[str]
    ) -> Query:
        from rtd_adapters import caption_states

        lifted = reference.states if self._surrogate == "tokens" else caption_states(reference)
        context = _context(reference.tower, reference.tokenizer, prompts)
        return Query(prompts, projection(context, lifted).unsqueeze(1))

    def _from_image(
        self, projection: nn.Module, image: ImageFeatures, prompts: Sequence[str]
    ) -> Tensor:
        if image.tokens is None:
            raise ValueError("Context-I2W reads image states; pass ImageFeatures with tokens.")
        context = _context(image.tower, image.tokenizer, prompts)
        return projection(context, image.tokens).unsqueeze(1)


def _context(tower: TextTower, tokenizer: Tokenizer, prompts: Sequence[str]) -> Tensor:
    """[B, embed_dim] embeddings of prompts, the placeholder's own row in place, no gradient."""
    import torch

    distinct = list(dict.fromkeys(prompts))
    place = {prompt: row for row, prompt in enumerate(distinct)}
    ids = tokenizer.encode(distinct).to(tower.positional_embedding.device)
    with torch.no_grad():
        found = tower(ids[:, : int(ids.argmax(dim=1).max()) + 1])
    return found[[place[prompt] for prompt in prompts]]


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add Context-I2W."""
    register(ContextI2W())
