"""The method seam: all that a plugin says about one composed-image-retrieval method.

A `Method` knows its placeholder, its prompts, its projection and how its repository names the text
tower's tensors. Everything else in this package does not know which method runs. Importing this
module imports neither torch nor open_clip, and a plugin module should keep to the same rule.
"""

from __future__ import annotations

import copy
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from rtd_adapters.errors import UsageError
from rtd_adapters.methods.query import Composition
from rtd_adapters.methods.reference import Reference

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from rtd_adapters.clip.shapes import BackboneShape
    from rtd_adapters.clip.text import TextTower, Tokenizer
    from rtd_adapters.methods.inversion import ProjectionTraining

M = TypeVar("M", bound="Method")
STAND_IN = "stand_in"
REUSE = "reuse"
"""The stand-in that is none: training sees another method's projection instead (`reuses`)."""


@dataclass(frozen=True)
class MethodOption:
    """Something about a method that its user may choose: `--method-option NAME=VALUE`."""

    help: str
    default: str | None = None
    """None where it must be given."""
    choices: tuple[str, ...] = ()
    """The values it may have; any where there are none."""
    is_file: bool = False
    """Whether its value names a file, which a run then knows by its content."""


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
    activation: str | None = None
    """The activation of the text tower that its repository builds, whatever the weights:
    quick_gelu, gelu or gelu_tanh. None where the model's own configuration decides."""
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
    needs_projection: bool = True
    """Whether it has one. Training-free methods have none, and compose embeddings instead."""
    needs_states: bool = False
    """Whether it reads `Reference.states`, which are large and not kept."""
    injections: tuple[str, ...] = ("call",)
    """How a patch can enter the repository: call, file, launcher."""
    options: Mapping[str, MethodOption] = MappingProxyType({})
    """What its user may choose, by name. `stand_in` is what stands in for a picture's states in
    training (see `stand_ins`); further files that a projection needs are options too."""
    reuses: str = ""
    """The method that training sees in its place where `stand_in` is `reuse`, as the paper's code
    reuses one encoder for several methods: one whose projection reads one embedding."""
    projection_training: ProjectionTraining | None = None
    """How its projection is trained (`rtd projection train`); None where nobody says."""
    _chosen: Mapping[str, str] = MappingProxyType({})

    def configured(self: M, chosen: Mapping[str, str]) -> M:
        """The same method with some of its options chosen.

        Raises:
            UsageError: there is no such option, or it has no such value.
        """
        for name, value in chosen.items():
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise UsageError(f"{self.name} has no option {name!r}; it has: {known}.")
            choices = self.options[name].choices
            if choices and value not in choices:
                known = ", ".join(choices)
                raise UsageError(f"{self.name} has no {name} {value!r}; choose one of {known}.")
        method = copy.copy(self)
        method._chosen = MappingProxyType({**self._chosen, **chosen})
        return method

    def option(self, name: str) -> str:
        """The value of an option, chosen or by default.

        Raises:
            UsageError: it was not chosen and has no default.
        """
        value = self._chosen.get(name, self.options[name].default)
        if value is None:
            what = self.options[name].help
            raise UsageError(f"{self.name} needs --method-option {name}=VALUE: {what}")
        return value

    def chosen_files(self) -> dict[str, Path]:
        """The files that chosen options name."""
        from pathlib import Path

        return {n: Path(value) for n, value in self._chosen.items() if self.options[n].is_file}

    @property
    def stand_in(self) -> str:
        """What stands in for a picture's states in training; empty where it reads none."""
        return self.option(STAND_IN) if STAND_IN in self.options else ""

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """The method's projection with fresh weights, sized for a backbone.

        A method without a projection keeps this one, which does nothing.
        """
        if self.needs_projection:
            raise NotImplementedError(f"{type(self).__name__} does not define build_projection")
        from torch import nn

        return nn.Identity()

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """The projection in the repository's own checkpoint file, frozen and in eval mode.

        Raises:
            FileError: the file is missing, damaged or needs more than tensors.
            BackboneError: its keys or shapes do not fit the method or the backbone.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define load_projection")

    def fill_bank(self, projection: nn.Module, pictures: Tensor, captions: Tensor) -> None:
        """Give a fresh projection the bank in which it looks neighbours up (KEDs). A method whose
        projection has none keeps this one, which does nothing.

        Args:
            projection: as `build_projection` gave it.
            pictures: [N, embed_dim] embeddings of pictures, unnormalised.
            captions: [N, embed_dim] of their captions.
        """
        return

    def projection_checkpoint(
        self, tensors: Mapping[str, Tensor], clip: Mapping[str, Tensor] | None
    ) -> dict[str, Any]:
        """What the repository's own checkpoint file holds of a projection, for `torch.save`; what
        `load_projection` reads. By default the tensors themselves.

        Args:
            tensors: of the projection.
            clip: the whole CLIP it was trained for, in OpenAI's names, for repositories that keep
                both in one file; None where its tensors have other names.
        """
        return dict(tensors)

    def tokenizer(self, tower: TextTower) -> Tokenizer:
        """The tokenizer of the method's prompts: the tower's own, unless the repository changes
        it.

        Raises:
            UsageError: the tower's vocabulary has no row for the placeholder.
        """
        return tower.tokenizer(self.placeholder)

    def pseudo_tokens(self, projection: nn.Module, embedding: Tensor) -> Tensor:
        """[B, K, text width] from joint-space embeddings [B, embed_dim]; here K = 1."""
        if not self.needs_projection:
            raise NotImplementedError(f"{type(self).__name__} must define both composed and bare")
        return projection(embedding).unsqueeze(1)

    def composed(
        self, projection: nn.Module, reference: Reference, texts: Sequence[str]
    ) -> Composition:
        """B composed queries: these references, changed as these texts say.

        Written once for pictures and for the captions that stand in for them in training.

        Args:
            projection: as `load_projection` or `build_projection` gave it.
            reference: the reference side of B queries.
            texts: B cleaned conditioning texts T_c.
        """
        prompts = [self.composed_prompt.format(text=text) for text in texts]
        return Composition.of(prompts, self._tokens(projection, reference))

    def bare(
        self, projection: nn.Module, reference: Reference, texts: Sequence[str] | None = None
    ) -> Composition:
        """B bare queries: the references alone, the other half of a refined batch.

        Args:
            projection: as in `composed`.
            reference: likewise.
            texts: B conditioning texts, where pseudo tokens that depend on the text shall be those
                of `composed`; None where the bare prompt is all there is.
        """
        prompts = [self.bare_prompt] * len(reference)
        return Composition.of(prompts, self._tokens(projection, reference))

    def _tokens(self, projection: nn.Module, reference: Reference) -> Tensor:
        return reference.once(
            (self, projection), lambda: self.pseudo_tokens(projection, reference.embedding)
        )
