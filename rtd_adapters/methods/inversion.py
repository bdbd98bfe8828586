"""The seam of a projection's own training: what it learns from, with what settings, by what loss.

A plugin says so in one object, `Method.projection_training`. The core does the rest: it reads and
shuffles, embeds what is frozen once, adds noise, runs the projection and the frozen text tower,
shares batches between processes, and keeps checkpoints. Importing this module imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from rtd_adapters.methods.query import Composition

if TYPE_CHECKING:
    from random import Random

    from torch import Tensor, nn

CAPTIONS, PICTURES = "captions", "pictures"
SOURCES = (CAPTIONS, PICTURES)


class Inverting(Protocol):
    """What a projection's training asks of its method, which is a `Method`."""

    placeholder: str
    bare_prompt: str

    def pseudo_tokens(self, projection: nn.Module, embedding: Tensor) -> Tensor:
        """[B, K, text width] from joint-space embeddings [B, embed_dim]."""


@dataclass(frozen=True)
class Concept:
    """A word or two for what pictures show, and phrases with it."""

    name: str
    phrases: Sequence[str]
    """Each has the name in it, letter for letter."""


@dataclass(frozen=True)
class Described:
    """A caption or a picture, and what is told of it."""

    caption: str = ""
    """Cleaned: lower case, without placeholders, not longer than the context; empty for a
    picture."""
    keywords: tuple[str, ...] = ()
    """Its runs of nouns, proper nouns, adjectives and determiners, in their order, each as long as
    it goes; the words of one are joined by a space, which the caption need not have there."""
    concepts: Sequence[Concept] = ()
    """Of a picture: those it is nearest to, the nearest first; as many as the training asks for."""


@dataclass(frozen=True)
class Lesson:
    """What a projection is to say of one caption or picture."""

    prompt: str
    """With one placeholder or more."""
    target: str | None = None
    """Plain text whose frozen embedding the prompt's is compared with; None for that of the caption
    or picture itself."""


@dataclass(frozen=True)
class LessonBatch:
    """What a loss compares with: B lessons, frozen."""

    targets: Tensor
    """[B, embed_dim] fp32 embeddings, unnormalised: of the captions or pictures themselves, or of
    the lessons' own target texts."""
    logit_scale: float | None
    """exp of the backbone's own, by which its towers' cosines were multiplied in training; None
    where it has none."""
    taught: Tensor | None = None
    """[B, text width] tokens that were optimised for the pictures, where the training has a
    `teaching`."""


@dataclass(frozen=True)
class Inverted:
    """What projection and frozen text tower made of B lessons."""

    tokens: Tensor
    """[B, K, text width] the pseudo tokens."""
    embedded: Tensor
    """[B, embed_dim] fp32 embeddings of the prompts with the tokens in place, unnormalised."""


class TokenTeaching(ABC):
    """Optimisation-based inversion: a pseudo token for each picture by itself, found by gradient
    descent, which a projection is then to imitate. The numbers are AdamW's and the average's."""

    steps: int
    """Of each picture."""
    batch_size: int
    """Pictures at a time, each with a token of its own."""
    learning_rate: float
    weight_decay: float
    average: float
    """Decay of the exponential moving average over steps, which is the token that is taught."""
    spread: float
    """Standard deviation of the token at the start."""

    @abstractmethod
    def lessons(self, method: Inverting, described: Described, draw: Random) -> Sequence[Lesson]:
        """What one picture's token is to say in one step; as many lessons for every picture."""

    @abstractmethod
    def loss(self, embedded: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """The loss of a step, the mean over pictures.

        Args:
            embedded: [B, embed_dim] fp32 embeddings of the pictures' first lessons' prompts, of
                their second ones' and so on, unnormalised.
            targets: the same of what these are compared with, frozen.
        """


class ProjectionTraining(ABC):
    """How one method's projection is trained. Subclass it, and name an object of it in the method.

    The core calls it for a batch; all it does must be a function of what it is given, so that a
    resumed run sees what it would have.
    """

    learns_from: str
    """`captions` or `pictures`."""
    published: Mapping[str, Any] = MappingProxyType({})
    """The published settings: fields of `InversionSettings` that differ from its defaults."""
    source: str = ""
    """Where they are published, for the file."""
    concepts: int = 0
    """How many of the concepts nearest to it a picture is told; with none, no phrases are asked
    for."""
    templates: Sequence[str] = ()
    """Texts with {} in which a concept's name is embedded, to find those near a picture."""
    teaching: TokenTeaching | None = None
    """A first stage, in which pictures get tokens by themselves."""

    def lesson(self, method: Inverting, described: Described, draw: Random) -> Lesson:
        """The lesson in one thing; by default the bare prompt with the thing itself as its target.

        Args:
            method: whose prompts and placeholder they are.
            described: the caption or picture.
            draw: for all that is random in it.
        """
        return Lesson(method.bare_prompt)

    def compose(
        self, method: Inverting, projection: nn.Module, seen: Tensor, prompts: Sequence[str]
    ) -> Composition:
        """B prompts with their pseudo tokens; by default a method's only one stands at every
        placeholder of its prompt.

        Args:
            method: whose projection it is.
            projection: in training mode, with gradient; in eval mode where figures are taken.
            seen: [B, embed_dim] unnormalised embeddings of the captions or pictures, plus noise.
            prompts: of the lessons.
        """
        tokens = method.pseudo_tokens(projection, seen)
        if tokens.shape[1] == 1:
            most = max(prompt.count(method.placeholder) for prompt in prompts)
            tokens = tokens.expand(-1, most, -1)
        return Composition.of(prompts, tokens)

    @abstractmethod
    def loss(self, made: Inverted, batch: LessonBatch) -> Tensor:
        """The loss of a whole batch, a scalar in fp32."""
