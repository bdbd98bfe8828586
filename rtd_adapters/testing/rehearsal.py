"""A method on a small random backbone, with four queries to compose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.methods.method import REUSE, STAND_IN, Method
from rtd_adapters.methods.query import Composition, embed_composition
from rtd_adapters.methods.reference import Reference
from rtd_adapters.methods.stand_ins import CaptionSide
from rtd_adapters.testing.promises import promised, require
from rtd_adapters.testing.towers import SMALL, small_image_head, small_tower

CAPTIONS = ("a dog on a beach", "a red dress", "two old cars in the rain at night", "a cat")
TEXTS = ("is red", "has long sleeves and a collar", "is red", "was painted by a child")


@dataclass(frozen=True)
class Rehearsal:
    """What a method does on a small random backbone.

    Everything that a method is asked to do here it promises to do: an error of its own is raised
    again as an `AssertionError` that says what was asked.
    """

    method: Method
    shape: BackboneShape = SMALL

    @cached_property
    def tower(self) -> TextTower:
        """The text tower that composes queries, and the frozen one that reads captions."""
        return small_tower(self.shape)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The method's own."""
        remedy = "The placeholder must be one token: use a sign such as $ or *, or an added_token."
        with promised(self.method, "tokenizer(tower)", remedy):
            return self.method.tokenizer(self.tower)

    @cached_property
    def projection(self) -> nn.Module:
        """The method's own with random weights, frozen as every run has it."""
        remedy = "Return a torch module, or set needs_projection = False and keep the default."
        doing = f"build_projection({self.shape})"
        with promised(self.method, doing, remedy), torch.random.fork_rng():
            torch.manual_seed(0)
            return self.method.build_projection(self.shape).eval().requires_grad_(False)

    @cached_property
    def captions(self) -> Reference:
        """The reference side in training: captions, without noise.

        With `reuse` a method never sees one, but it has other stand-ins to choose.
        """
        method = self.method
        if method.stand_in == REUSE:
            others = (name for name in method.options[STAND_IN].choices if name != REUSE)
            method = method.configured({STAND_IN: next(others)})
        return self._side.reference(method, CAPTIONS, self._embedding, self.tower)

    @cached_property
    def pictures(self) -> Reference:
        """The reference side in evaluation: pictures of the same embedding and the same states."""
        states = None
        if self.method.needs_states:
            stood_in = self.captions.make_states is not None
            tokens = self._side.token_states
            states = self.captions.states if stood_in else tokens(CAPTIONS, self._embedding)
        return Reference.of_pictures(self._embedding, self.tower, self.tokenizer, states)

    def composed(self, reference: Reference, texts: Sequence[str] = TEXTS) -> Composition:
        """What the method makes of a reference and texts."""
        with promised(self.method, f"composed() of {_kind(reference)}", _remedy(reference)):
            composition = self.method.composed(self.projection, reference, texts)
        return self._required(composition, "composed")

    def bare(self, reference: Reference, texts: Sequence[str] | None = None) -> Composition:
        """What the method makes of a reference alone."""
        with promised(self.method, f"bare() of {_kind(reference)}", _remedy(reference)):
            composition = self.method.bare(self.projection, reference, texts)
        return self._required(composition, "bare")

    def embed(self, composition: Composition) -> Tensor:
        """[B, embed_dim] embeddings of what the method made, unnormalised."""
        remedy = (
            "Prompts with pseudo tokens need 1 to K placeholders and tokens [B, K, text width]."
        )
        with promised(self.method, "embedding its queries", remedy):
            return embed_composition(self.tower, self.tokenizer, composition)

    def _required(self, composition: Composition, which: str) -> Composition:
        made, remedy = type(composition).__name__, "Return Composition.of(prompts, pseudo_tokens)."
        kept = isinstance(composition, Composition)
        require(self.method, kept, f"{which}() returns a {made}, not a Composition", remedy)
        return composition

    @cached_property
    def _embedding(self) -> Tensor:
        with torch.no_grad():
            return self.tower(self.tokenizer.encode(CAPTIONS))

    @property
    def _side(self) -> CaptionSide:
        head = small_image_head(self.shape)
        return CaptionSide(self.tower, self.tokenizer, head, noise=lambda vectors: vectors)


def rows_of(reference: Reference, rows: slice) -> Reference:
    """Some rows of a reference side."""
    return Reference(
        reference.embedding[rows],
        reference.tower,
        reference.tokenizer,
        None if reference.captions is None else reference.captions[rows],
        None if reference.make_states is None else lambda: reference.states[rows],
    )


def _kind(reference: Reference) -> str:
    return "pictures" if reference.captions is None else "captions"


def _remedy(reference: Reference) -> str:
    if reference.captions is None:
        return "In evaluation references are pictures: needs_states = True gives them states."
    return (
        "In training captions stand in for pictures: they have states only if the method has an "
        "option stand_in, whose value is tokens or caption."
    )
