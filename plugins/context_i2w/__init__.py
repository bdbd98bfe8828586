"""Context-I2W (Tang et al., AAAI 2024): a pseudo token that depends on the query's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rtd_adapters import BackboneShape, Composition, Method, MethodOption, Reference, hookimpl

from .export import register_exporters as register_exporters

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

    Training has no picture: lifted captions stand in for its states, which is our own idea
    (rtd_adapters/methods/stand_ins.py). examples/benchmarks/methods.md compares the stand-ins with
    *reuse*, a patch trained against SEARLE's one-token projection.
    """

    name = "context_i2w"
    summary = "Context-I2W: one token turned by the text, prompt 'a photo of <|replace|> , ...'"
    reference_url = "https://github.com/Pter61/context-i2w"
    layout = "openai"
    activation = "quick_gelu"
    placeholder = REPLACE
    composed_prompt = f"a photo of {REPLACE} , {{text}}"
    bare_prompt = f"a photo of {REPLACE}"
    backbone = ("ViT-L-14", "openai")
    checked_with = ("demo",)
    needs_states = True
    reuses = "searle"
    injections = ("call", "file", "launcher")
    options = MappingProxyType(
        {
            "stand_in": MethodOption(
                "what stands for patches in training: the caption's tokens, all of it in each, or "
                "none, with SEARLE's projection",
                default="tokens",
                choices=("tokens", "caption", "reuse"),
            )
        }
    )

    def tokenizer(self, tower: TextTower) -> Tokenizer:
        """Byte pairs with the placeholder at id 49405, in place of the last merge ("jekyll").

        Raises:
            UsageError: the tower has another vocabulary than OpenAI's.
        """
        return tower.tokenizer(REPLACE, added_token=REPLACE)

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

    def composed(
        self, projection: nn.Module, reference: Reference, texts: Sequence[str]
    ) -> Composition:
        """Composed prompts; their own embeddings are the context."""
        prompts = [self.composed_prompt.format(text=text) for text in texts]
        return Composition.of(prompts, _seen_through(prompts, projection, reference))

    def bare(
        self, projection: nn.Module, reference: Reference, texts: Sequence[str] | None = None
    ) -> Composition:
        """Bare prompts; the context is that of the composed prompts, or their own without texts."""
        bare = [self.bare_prompt] * len(reference)
        asked = bare if texts is None else [self.composed_prompt.format(text=t) for t in texts]
        return Composition.of(bare, _seen_through(asked, projection, reference))


def _seen_through(prompts: Sequence[str], projection: nn.Module, reference: Reference) -> Tensor:
    """[B, 1, text width] pseudo tokens of references in the context of B prompts.

    The context is the prompts' embedding by the tower in use, without gradient.
    """
    import torch

    distinct = list(dict.fromkeys(prompts))
    row = {prompt: place for place, prompt in enumerate(distinct)}
    ids = reference.tokenizer.encode(distinct).to(reference.tower.device)
    with torch.no_grad():
        context = reference.tower(reference.tower.trimmed(ids))
    return projection(context[[row[p] for p in prompts]], reference.states).unsqueeze(1)


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add Context-I2W."""
    register(ContextI2W())
