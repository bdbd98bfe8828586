"""The description of a text tower: everything that its tensors do not hold, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from rtd_adapters.clip.text.activations import ACTIVATIONS
from rtd_adapters.errors import BackboneError

KNOWN: dict[str, tuple[str, ...]] = {
    "activation": tuple(ACTIVATIONS),
    "mask": ("causal", "padding", "none", "coca"),
    "pooling": ("argmax", "eos", "last", "first", "mean", "appended"),
    "block": ("pre-norm", "post-norm", "t5"),
    "projection": ("matrix", "linear", "mlp", "none"),
    "positions": ("table", "stretched", "relative"),
}
"""The variants of each part of a tower. What is none of them is refused, never approximated."""
OPTIONAL = ("eos_id", "pad_id")
"""Token ids, which a tower that does not look at them has not."""


@dataclass(frozen=True)
class TowerConfig:
    """The build of a text tower; a patch's metadata records it. Defaults are CLIP's.

    Raises:
        BackboneError: a part is of no known variant, a size is no whole number, the heads do not
            divide the width, or a token id is missing that mask or pooling look for.
    """

    width: int
    """Of the residual stream, and so of a token embedding."""
    layers: int
    heads: int
    embed_dim: int
    """Of the joint image-text space."""
    activation: str
    """quick_gelu (OpenAI's weights), gelu (LAION's) or gelu_tanh."""
    vocab_size: int = 49408
    context_length: int = 77
    """Tokens of the longest text."""
    mlp_width: int = 0
    """Of the hidden layer of each MLP; 4 * width where it is not given."""
    mask: str = "causal"
    """What a token looks at: those before it (causal), all but padding (padding), all (none), or
    those before it but for padding, which is masked one place late (coca)."""
    pooling: str = "argmax"
    """What is read for the whole text: the first largest id (argmax), the first end of text (eos),
    the last place of all (last), the first (first), the mean of all but padding (mean), or a token
    that is appended to every text (appended)."""
    block: str = "pre-norm"
    """pre-norm (CLIP's), post-norm (BERT's) or t5: norms without mean and bias, a gated MLP, linear
    layers without bias, scores that are not scaled."""
    eps: float = 1e-5
    """Of the norms."""
    projection: str = "matrix"
    """To the joint space: a matrix, a linear layer with bias, two linear layers with a GELU between
    them (mlp), or none."""
    projection_width: int = 0
    """Of the hidden layer of an `mlp` projection."""
    positions: str = "table"
    """table: an embedding a place; stretched: in two tables (Long-CLIP); relative: none, but a bias
    of scores by distance (T5)."""
    position_rows: int = 0
    """Of the table of positions, which may be longer than what is read; as many as texts need where
    it is not given."""
    first_position: int = 0
    """Row of the table for the first token (RoBERTa's is 2)."""
    token_types: int = 0
    """Rows of a table of token types, of which every token is the first; 0 where there is none."""
    embedding_norm: bool = False
    """Whether embeddings are normalised before the first block."""
    head_width: int = 0
    """Of each head; width / heads where it is not given."""
    eos_id: int | None = None
    """Of the end of text, where pooling looks for it."""
    pad_id: int | None = None
    """Of padding, where the mask looks for it."""

    def __post_init__(self) -> None:
        for name, known in KNOWN.items():
            if (value := getattr(self, name)) not in known:
                raise BackboneError(
                    f"Unknown {name} {value!r} of a text tower. Use one of {', '.join(known)}."
                )
        self._require_whole_numbers()
        if self.heads < 1 or (self.width % self.heads and not self.head_width):
            raise BackboneError(
                f"A tower of width {self.width} cannot have {self.heads} attention heads: "
                "the heads must divide the width."
            )
        if not self.mlp_width:
            object.__setattr__(self, "mlp_width", 4 * self.width)
        if not self.head_width:
            object.__setattr__(self, "head_width", self.width // self.heads)
        if not self.position_rows and self.positions != "relative":
            object.__setattr__(self, "position_rows", self._needed_rows)
        if self.positions != "relative" and self.position_rows < self._needed_rows:
            raise BackboneError(
                f"A tower with {self.position_rows} position embeddings cannot read "
                f"{self.context_length} tokens."
            )
        if self.pooling == "eos" and self.eos_id is None:
            raise BackboneError("A tower that pools at the end of text needs its id (eos_id).")
        if self.pad_id is None and (self.mask in ("padding", "coca") or self.pooling == "mean"):
            raise BackboneError("A tower that masks padding needs the id of padding (pad_id).")

    @property
    def fixed_length(self) -> bool:
        """Whether every text must be padded to the context length: padding is looked at."""
        return self.mask == "none" or self.pooling == "last"

    @property
    def is_clip(self) -> bool:
        """Whether it is built as OpenAI's CLIP, whatever its sizes and activation."""
        return not self.not_clips

    @property
    def not_clips(self) -> dict[str, Any]:
        """The parts that are built otherwise than OpenAI's CLIP's, by name."""
        defaults = {field.name: field.default for field in fields(self)}
        return {
            name: value
            for name, value in self.computation.items()
            if defaults[name] is not MISSING and value != defaults[name]
        }

    @property
    def computation(self) -> dict[str, Any]:
        """What decides a tower's outputs and stands in none of its tensors, by name."""
        return {name: getattr(self, name) for name in UNSEEN}

    @property
    def _needed_rows(self) -> int:
        return self.first_position + self.context_length + (self.pooling == "appended")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TowerConfig:
        """The inverse of `to_dict`; unknown keys are left alone, and absent ones are CLIP's.

        Raises:
            BackboneError: a size is missing.
        """
        known = {field.name for field in fields(cls)}
        try:
            return cls(**{name: value for name, value in values.items() if name in known})
        except TypeError as error:
            raise BackboneError(f"This is no text tower configuration: {error}.") from error

    def _require_whole_numbers(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in KNOWN or field.name == "embedding_norm":
                continue
            if field.name == "eps":
                if type(value) is not float or not 0 < value < 1:
                    raise BackboneError(f"A tower's eps is a number from 0 to 1, not {value!r}.")
                continue
            if type(value) is not int and not (field.name in OPTIONAL and value is None):
                raise BackboneError(f"A tower's {field.name} is a whole number, not {value!r}.")


SIZES = (
    "width",
    "layers",
    "embed_dim",
    "vocab_size",
    "context_length",
    "mlp_width",
    "head_width",
    "position_rows",
    "projection_width",
    "token_types",
)
"""What the shapes of a tower's tensors tell."""
UNSEEN = tuple(field.name for field in fields(TowerConfig) if field.name not in SIZES)
