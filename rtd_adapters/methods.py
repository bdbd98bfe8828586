"""The method seam: all that a plugin says about one composed-image-retrieval method.

A `Method` knows its placeholder, its prompts, its projection and how its repository names the text
tower's tensors. Everything else in this package does not know which method runs. Importing this
module imports neither torch nor open_clip, and a plugin module should keep to the same rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from rtd_adapters.images import ImageHead
    from rtd_adapters.text import TextTower, Tokenizer


@dataclass(frozen=True)
class BackboneShape:
    """The sizes of a backbone that a projection must fit."""

    embed_dim: int
    """Width of the joint image-text space."""
    text_width: int
    """Width of the text tower, and so of a pseudo token."""
    image_width: int
    """Width of the image tower's states, the patches' included."""


@dataclass(frozen=True)
class Query:
    """Prompts and the pseudo tokens that stand at their placeholders.

    `pseudo_tokens` is [B, K, text width]; a prompt with n <= K placeholders uses its first n.
    """

    prompts: Sequence[str]
    pseudo_tokens: Tensor


@dataclass(frozen=True)
class Reference:
    """The reference side of B triplets, as the text-only training path sees it."""

    captions: Sequence[str]
    """B cleaned reference captions T_r."""
    conditioning: Sequence[str]
    """B cleaned conditioning texts T_c."""
    embedding: Tensor
    """[B, embed_dim]: the frozen tower's embedding of T_r plus noise, not normalised."""
    noise: Callable[[Tensor], Tensor]
    """Adds the same kind of noise to further frozen vectors [B, ..., embed_dim]."""
    image_head: ImageHead
    """Lifts joint-space vectors to image-tower states, for methods that read such."""
    tower: TextTower
    """The tower being trained, for methods whose projection is conditioned on text."""
    frozen: TextTower
    """The backbone's own tower."""
    tokenizer: Tokenizer
    """The method's tokenizer for this backbone."""

    @cached_property
    def states(self) -> Tensor:
        """[B, 1 + patches, image width]: states that stand in for those of the images."""
        from rtd_adapters.surrogates import token_states

        return token_states(self)


@dataclass(frozen=True)
class ImageFeatures:
    """The reference side of B composed queries at evaluation time."""

    embedding: Tensor
    """[B, embed_dim]: the image tower's output, not normalised."""
    tokens: Tensor | None
    """[B, 1 + patches, image width]: states before the last LayerNorm, the whole picture's first;
    None if the caller has none."""
    tower: TextTower
    """The text tower that will encode the query: base or patched."""
    tokenizer: Tokenizer
    """The method's tokenizer for this backbone."""


class Method(ABC):
    """One composed-image-retrieval method. Subclass it, fill in the attributes, register it."""

    name: str
    """What `--method` takes: lower case, no spaces."""
    summary: str
    """One line for `rtd methods`."""
    reference_url: str
    """The method's repository or paper."""
    layout: str
    """How its repository names the text tower's tensors: openai, open_clip_custom or hf."""
    placeholder: str = "$"
    """The token that a pseudo token replaces."""
    composed_prompt: str = "a photo of $ that {text}"
    """The prompt of a composed query; {text} is the conditioning text."""
    bare_prompt: str = "a photo of $"
    """The prompt of the reference alone, the other half of a refined batch."""
    backbone: tuple[str, str] = ("ViT-L-14", "openai")
    """The open_clip name and weights tag that the published checkpoints were made for."""
    checked_with: tuple[str, ...] = ()
    """Backbones that the author ran it with, for `rtd methods`."""
    needs_states: bool = False
    """Whether image queries read `ImageFeatures.tokens`, which are large and not kept."""
    injections: tuple[str, ...] = ("call",)
    """How a patch can enter the repository: call, file, launcher."""

    @abstractmethod
    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """The method's projection with fresh weights, sized for a backbone."""

    @abstractmethod
    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """The projection in the repository's own checkpoint file, frozen and in eval mode.

        Raises:
            FileError: the file is missing, damaged or needs more than tensors.
            BackboneError: its keys or shapes do not fit the method or the backbone.
        """

    def tokenizer(self, context_length: int) -> Tokenizer:
        """The tokenizer of the method's prompts: CLIP's own, unless the repository changes it."""
        from rtd_adapters.text import Tokenizer

        return Tokenizer(context_length, placeholder=self.placeholder)

    def pseudo_tokens(self, projection: nn.Module, embedding: Tensor) -> Tensor:
        """[B, K, text width] from joint-space embeddings [B, embed_dim]; here K = 1."""
        return projection(embedding).unsqueeze(1)

    def composed_query(self, projection: nn.Module, reference: Reference) -> Query:
        """Text-only path: B composed prompts with the pseudo tokens of their references."""
        prompts = [self.composed_prompt.format(text=text) for text in reference.conditioning]
        return Query(prompts, self.pseudo_tokens(projection, reference.embedding))

    def bare_query(self, projection: nn.Module, reference: Reference) -> Query:
        """Text-only path: B bare prompts with the pseudo tokens of their references."""
        prompts = [self.bare_prompt] * len(reference.captions)
        return Query(prompts, self.pseudo_tokens(projection, reference.embedding))

    def image_query(
        self, projection: nn.Module, image: ImageFeatures, texts: Sequence[str]
    ) -> Query:
        """Evaluation path: B composed prompts with the pseudo tokens of their reference images."""
        prompts = [self.composed_prompt.format(text=text) for text in texts]
        return Query(prompts, self.pseudo_tokens(projection, image.embedding))

    def bare_image_query(
        self, projection: nn.Module, image: ImageFeatures, texts: Sequence[str]
    ) -> Query:
        """B bare prompts with the pseudo tokens that `image_query` would give these texts."""
        prompts = [self.bare_prompt] * len(image.embedding)
        return Query(prompts, self.pseudo_tokens(projection, image.embedding))
