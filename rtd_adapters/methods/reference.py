"""The reference side of composed queries: pictures, or captions that stand in for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from rtd_adapters.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from rtd_adapters.clip.text import TextTower, Tokenizer

T = TypeVar("T")


@dataclass(frozen=True)
class Reference:
    """The reference side of B queries.

    In evaluation it is a picture. In text-only training a caption takes its place (refined
    concatenation): the frozen tower's embedding of it, plus noise.
    """

    embedding: Tensor
    """[B, embed_dim], not normalised: the image tower's output, or its stand-in."""
    tower: TextTower
    """The text tower that will encode the query: base, patched or in training."""
    tokenizer: Tokenizer
    """The method's tokenizer for this backbone."""
    captions: Sequence[str] | None = None
    """B cleaned reference captions T_r; None where references are pictures without captions."""
    make_states: Callable[[], Tensor] | None = None
    """Gives `states` when they are asked for; None where there are none."""
    kept: dict[object, Any] | None = None
    """What `once` keeps; None where it keeps nothing."""

    @classmethod
    def of_pictures(
        cls,
        embedding: Tensor,
        tower: TextTower,
        tokenizer: Tokenizer,
        states: Tensor | None = None,
    ) -> Reference:
        """Pictures as an image tower saw them, with its states where the method reads those."""
        make = None if states is None else lambda: states
        return cls(embedding, tower, tokenizer, make_states=make)

    def __len__(self) -> int:
        return len(self.embedding)

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What `make` gives, of an earlier call with the same key where that is kept.

        In a training step composed and bare queries share their pseudo tokens by it: they are
        computed once, and known to be the same.
        """
        if self.kept is None:
            return make()
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    @cached_property
    def states(self) -> Tensor:
        """[B, 1 + patches, image width]: the image tower's states before its last LayerNorm, the
        whole picture's first, or what stands in for them.

        Raises:
            UsageError: there are none.
        """
        if self.make_states is None:
            raise UsageError(
                "this method reads an image tower's states, and the reference has none. "
                "Pass Reference.of_pictures(..., states=image_states(model, pictures).tokens)."
            )
        return self.make_states()
