"""References made of captions: what text-only training shows a projection in a picture's place.

A projection that reads one embedding gets the caption's. Context-I2W and FTI4CIR read the states of
every patch, and a caption has no patches. Its words take their place: the frozen tower's state of
each token, taken to the joint space, given noise like any reference embedding, and lifted. Stand-in
states are our own idea; the paper trains against one-token projections only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.clip.image_head import ImageHead
from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.compute.devices import onto
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.query import Composition
from rtd_adapters.methods.reference import Reference


def words_in_place(method: Method, captions: Sequence[str], texts: Sequence[str]) -> Composition:
    """B composed prompts with reference captions' own words at the placeholder: the naive
    concatenation that refined concatenation replaces.

    Args:
        method: whose prompt it is.
        captions: B reference captions.
        texts: B conditioning texts.
    """
    return Composition.of(
        [
            method.composed_prompt.format(text=text).replace(method.placeholder, caption)
            for caption, text in zip(captions, texts, strict=True)
        ]
    )


@dataclass(frozen=True)
class CaptionSide:
    """What makes a reference of captions."""

    frozen: TextTower
    """The backbone's own tower."""
    tokenizer: Tokenizer
    """The method's."""
    image_head: ImageHead
    """Lifts joint-space vectors to image states."""
    noise: Callable[[Tensor], Tensor]
    """Adds noise to frozen vectors [B, ..., embed_dim]."""

    def reference(
        self, method: Method, captions: Sequence[str], embedding: Tensor, tower: TextTower
    ) -> Reference:
        """Captions as `method` is to see them.

        Args:
            method: says by `stand_in` what stands in for a picture's states.
            captions: B cleaned reference captions.
            embedding: [B, embed_dim] of them by the frozen tower, without noise.
            tower: that will encode the queries.
        """
        whole = self.noise(embedding)
        makers = {"tokens": self.token_states, "caption": self.caption_states}
        make = makers.get(method.stand_in)
        states = None if make is None else lambda: make(captions, whole)
        return Reference(whole, tower, self.tokenizer, captions, states)

    @torch.no_grad()
    def token_states(self, captions: Sequence[str], whole: Tensor) -> Tensor:
        """[B, 1 + patches, image width]: captions as whole pictures, their tokens as patches.

        Tokens are spread evenly over the patches, the last one included: where attention is causal
        it has seen the whole caption.
        """
        whole_ids = self.tokenizer.encode(captions)
        ids = onto(self.frozen.trimmed(whole_ids), whole.device)
        lengths = onto(torch.tensor(self.tokenizer.lengths(captions)), whole.device)
        tokens = self.frozen.project(self.frozen.states(ids))
        # Noise is drawn for the whole context, so it does not depend on which texts share a batch.
        tokens = self.noise(F.pad(tokens, (0, 0, 0, whole_ids.shape[1] - tokens.shape[1])))
        spread = torch.linspace(0, 1, self.image_head.patches, device=ids.device)
        words = self.tokenizer.vocabulary
        last = (lengths - words.prefix - words.suffix - 1).clamp_min(0)
        places = words.prefix + (spread * last[:, None]).round().long()
        rows = torch.arange(len(ids), device=ids.device)[:, None]
        return self.image_head.lift_pictures(
            torch.cat([whole[:, None], tokens[rows, places]], dim=1)
        )

    @torch.no_grad()
    def caption_states(self, captions: Sequence[str], whole: Tensor) -> Tensor:
        """[B, 1 + patches, image width]: each caption as the whole picture and as every patch."""
        lifted = self.image_head.lift_pictures(torch.stack([whole, whole], dim=1))
        patches = lifted[:, 1:].expand(-1, self.image_head.patches, -1)
        return torch.cat([lifted[:, :1], patches], dim=1)
