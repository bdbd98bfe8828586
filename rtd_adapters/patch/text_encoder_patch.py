"""Patches of text towers: in the making, in a file, on live CLIP models and off again."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast
from urllib.parse import quote

from torch import Tensor, nn

from rtd_adapters.clip.finite import not_finite
from rtd_adapters.clip.precisions import dtype_named
from rtd_adapters.clip.text import (
    CLIP_BPE,
    TextTower,
    TowerConfig,
    Vocabulary,
    find_tower,
    fingerprint,
    from_layout,
    interpolate,
    to_layout,
)
from rtd_adapters.errors import PatchError, UsageError
from rtd_adapters.io.hub_files import PATCH_FILE, fetched_file
from rtd_adapters.patch.card import CardFacts
from rtd_adapters.patch.file import read_patch, write_patch
from rtd_adapters.patch.fit import (
    described_tower,
    require_same_base,
    require_same_computation,
    require_same_shapes,
)
from rtd_adapters.patch.live import WRITING, Originals
from rtd_adapters.patch.metadata import PatchMetadata, current_versions
from rtd_adapters.patch.push import push_file

if TYPE_CHECKING:
    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.methods.method import Method
    from rtd_adapters.patch.lora import LoRASettings

REPOSITORIES = ("openai", "hf")
"""Layouts of the CLIPs that the methods' repositories load."""
P = TypeVar("P", bound="TrainablePatch")
State = Mapping[str, Tensor]


class TextEncoderPatch:
    """A patched text tower, bound to the tower it was trained for by a fingerprint.

    Patches come from `load` (a file) or from `create` (training).

    Args:
        state: the patched tower's tensors, under `TextTower`'s names.
        metadata: what the file says about itself.
    """

    vocabulary: Vocabulary = CLIP_BPE
    """What the ids of the towers it builds mean. No file holds it; a patch in the making has its
    backbone's."""
    kinds: ClassVar[dict[str, type[TrainablePatch]]] = {}
    """What `create` can make, by name: `class ...(TrainablePatch, kind="full")` adds itself."""

    def __init_subclass__(cls, kind: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if kind is not None:
            TextEncoderPatch.kinds[kind] = cast("type[TrainablePatch]", cls)

    def __init__(self, state: State, metadata: PatchMetadata) -> None:
        self._state = state
        self.metadata = metadata
        self._originals = Originals()

    @classmethod
    def load(cls, path: str | Path) -> TextEncoderPatch:
        """Read a patch file.

        Args:
            path: of this disk, or a place on the Hub (`rtd_adapters.io.hub_files.hub_place`),
                which has it under `PATCH_FILE` unless it names another.

        Raises:
            FileError: the file is missing or damaged, or cannot be fetched.
            PatchError: it is no patch, its tensors are not those it was saved with, or one holds
                NaN or infinity.
        """
        tensors, metadata = read_patch(fetched_file(path, PATCH_FILE))
        _, state = from_layout(tensors, TowerConfig.from_dict(metadata.tower))
        if (name := not_finite(state)) is not None:
            raise PatchError(f"{path} is no use: its {name} holds NaN or infinity. Train it again.")
        if fingerprint(state) != metadata.fingerprint:
            raise PatchError(
                f"{path} was changed after it was saved: its tensors do not have the fingerprint "
                "in its metadata. Fetch it again."
            )
        return TextEncoderPatch(state, metadata)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None
    ) -> TextEncoderPatch:
        """Read a patch by its name on the Hub, or from a folder such as `push_to_hub` fills.

        Args:
            source: `owner/name`, or a folder; a file, too.
            revision: branch, tag or commit on the Hub.

        Raises:
            FileError, PatchError: as `load`.
            UsageError: a revision of what is not on the Hub.
        """
        if Path(source).exists():
            if revision is not None:
                raise UsageError(f"{source} is on this disk, where there is no revision.")
            return cls.load(Path(source) / PATCH_FILE if Path(source).is_dir() else source)
        return cls.load(f"{source}@{quote(revision, safe='')}" if revision else source)

    def push_to_hub(
        self,
        repository: str,
        *,
        facts: CardFacts | None = None,
        private: bool = False,
        message: str | None = None,
    ) -> str:
        """Save the patch in its own precision and push it, with its model card, to the Hub.

        Args:
            repository: `owner/name` or `owner/name@branch`; what does not exist is made.
            facts: what the card says that the patch does not know.
            private: whether a repository that is made is private.
            message: of the commit.

        Returns:
            The commit's address.

        Raises:
            UsageError: the repository's name is none.
            FileError: the Hub refuses or does not answer.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / PATCH_FILE
            metadata = self.save(file, dtype=self.metadata.dtype)
            about = facts or CardFacts()
            return push_file(file, metadata, repository, about, private=private, message=message)

    @staticmethod
    def create(
        kind: str,
        backbone: Backbone,
        method: Method,
        *,
        lora: LoRASettings | None = None,
        seed: int = 0,
    ) -> TrainablePatch:
        """A patch to be trained; it equals its base until `fit(trainer)` is called.

        Args:
            kind: `full` or `lora`.
            backbone: its text tower is copied, never changed.
            method: whose prompts and layout the patch is for.
            lora: rank and reach of a `lora` patch.
            seed: of the low-rank factors' initialisation.

        Raises:
            UsageError: the kind is unknown, or `lora` names no layer.
        """
        kinds = TextEncoderPatch.kinds
        if kind not in kinds:
            raise UsageError(f"Unknown kind {kind!r}. Use one of {', '.join(kinds)}.")
        return kinds[kind].begin(backbone, method, lora=lora, seed=seed)

    def state(self) -> State:
        """The patched tower's tensors, under `TextTower`'s names."""
        return self._state

    def state_dict(self, layout: str | None = None) -> dict[str, Tensor]:
        """The patched tower's tensors in a layout, by default the method's own."""
        return to_layout(self.state(), layout or self.metadata.layout)

    def build_tower(self, base: State | None = None, strength: float = 1.0) -> TextTower:
        """The patched tower by itself, in fp32 and eval mode.

        Args:
            base: the tower state it was trained for; needed at another strength than 1.
            strength: as in `apply`.

        Raises:
            UsageError: the base is missing.
            PatchError: the metadata describe another tower than the tensors make.
        """
        if base is None and strength != 1.0:
            raise UsageError(f"a tower at strength {strength:g} needs base=, its base's state.")
        state = interpolate(base or {}, self.state(), strength)
        tower = TextTower(described_tower(self.metadata, state), self.vocabulary)
        tower.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        return tower.eval().requires_grad_(False)

    def save(self, path: str | Path, *, dtype: str = "fp32") -> PatchMetadata:
        """Write the complete patched tower under the method's layout; it drops in by itself.

        Returns:
            The metadata as saved: its fingerprint is that of the tensors in the file's precision.

        Raises:
            FileError: the disk refuses; nothing is left half-written.
        """
        rounded = {name: tensor.to(dtype_named(dtype)) for name, tensor in self.state().items()}
        metadata = replace(self.metadata, dtype=dtype, fingerprint=fingerprint(rounded))
        write_patch(Path(path), to_layout(rounded, metadata.layout), metadata)
        return metadata

    def apply(self, model: nn.Module, strength: float = 1.0, *, force: bool = False) -> None:
        """Patch a live CLIP in place, in its own dtype and on its own device.

        Afterwards the model's weights are the patch's, or nothing was changed and an error says
        why. Threads that apply at once take turns.

        Args:
            model: OpenAI clip, open_clip, transformers or a vendored copy, wrapped for several
                processes or not; a patch on the model is on its wrapper too.
            strength: 0 is the base encoder, 1 the patched one, values between interpolate.
            force: apply even to a tower the patch was not trained for.

        Raises:
            PatchError: the patch is on already, or does not fit (both fingerprints, activations or
                numbers of heads are named), or the model does not take it: its weights are
                offloaded, handed out as copies, or tied to others.
            BackboneError: `model` is no CLIP this package knows.
        """
        with WRITING:
            if model in self._originals:
                raise PatchError("this patch is on this model already. Call revert(model) first.")
            live = find_tower(model)
            base = live.state()
            self.require_fit(base, live.config, force=force)
            patched = to_layout(interpolate(base, self.state(), strength), live.layout)
            self._originals.write_over(live, patched, self.metadata.title)

    def revert(self, model: nn.Module) -> None:
        """Give a patched model its own tensors back, bit for bit.

        Raises:
            PatchError: this patch is not on the model, or another lies on top of it, which is
                named.
        """
        with WRITING:
            if model not in self._originals:
                raise PatchError("this patch is not on this model, so there is nothing to revert.")
            self._originals.give_back(model)

    @contextmanager
    def applied(
        self, model: nn.Module, strength: float = 1.0, *, force: bool = False
    ) -> Iterator[nn.Module]:
        """`with patch.applied(model):` patches for the length of the block.

        The model itself is patched, so every thread that uses it meanwhile gets patched
        embeddings. Where threads need both at once, give each a copy of the model.
        """
        self.apply(model, strength, force=force)
        try:
            yield model
        finally:
            self.revert(model)

    def require_fit(
        self, base: State, config: TowerConfig | None = None, *, force: bool = False
    ) -> None:
        """Check that a tower is the one this patch was trained for.

        Args:
            base: its state, under `TextTower`'s names.
            config: its configuration; None where only a file's tensors are known.
            force: accept any tower of the same shape.

        Raises:
            PatchError: it is not; both fingerprints, activations, numbers of heads or shapes are
                named.
        """
        if not force:
            require_same_base(self.metadata, base)
            if config is not None:
                require_same_computation(self.metadata, config)
        require_same_shapes(self.state(), base)


class Trains(Protocol):
    """What `fit` needs of a trainer; `rtd_adapters.training.Trainer` is one."""

    def train(self, student: TextTower, identity: dict[str, Any]) -> Any:
        """Train `student` in place and return a record of the run.

        `identity` names what a checkpoint must share with a run that resumes it.
        """


class TrainablePatch(TextEncoderPatch):
    """A patch in the making: `student` is the copy of the backbone's tower that is trained."""

    def __init__(self, student: TextTower, base: TextTower, metadata: PatchMetadata) -> None:
        super().__init__({}, metadata)
        self.student = student
        self.base = base
        self.vocabulary = base.vocabulary

    @classmethod
    def begin(
        cls: type[P],
        backbone: Backbone,
        method: Method,
        *,
        lora: LoRASettings | None,
        seed: int,
    ) -> P:
        """A patch that equals its base until it is trained. See `TextEncoderPatch.create`."""
        base = backbone.tower
        student = copy.deepcopy(base).requires_grad_(True)
        added = cls.prepare(student, lora, seed)
        base_fingerprint = fingerprint(base.state_dict())
        metadata = PatchMetadata(
            method=method.name,
            layout=_layout(method.layout, backbone),
            kind=next(name for name, kind in cls.kinds.items() if kind is cls),
            backbone=backbone.label,
            tower=base.config.to_dict(),
            placeholder=method.placeholder,
            composed_prompt=method.composed_prompt,
            bare_prompt=method.bare_prompt,
            base_fingerprint=base_fingerprint,
            fingerprint=base_fingerprint,
            lora=added,
            versions=current_versions(),
        )
        return cls(student, base, metadata)

    @classmethod
    def prepare(cls, student: TextTower, lora: LoRASettings | None, seed: int) -> dict[str, Any]:
        """Ready a copy of the tower for training, in place; returns the settings of its factors."""
        return {}

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with a run that resumes it."""
        projection = self.metadata.projection
        chosen = {key: projection[key] for key in ("calibration", "options") if key in projection}
        return chosen | {
            "method": self.metadata.method,
            "kind": self.metadata.kind,
            "lora": self.metadata.lora,
            "base_fingerprint": self.metadata.base_fingerprint["fp32"],
            "projection": projection.get("sha256"),
            "triplets": self.metadata.triplets.get("sha256"),
        }

    def fit(self, trainer: Trains) -> Any:
        """Train with a `Trainer`; returns its record."""
        record = trainer.train(self.student, self.identity())
        self.metadata.fingerprint = fingerprint(self.state())
        return record


def _layout(wanted: str, backbone: Backbone) -> str:
    """The layout a patch is written in: the method's own where its repository can load the tower,
    which is built as CLIP's in a model of CLIP's own; else that of the model it comes from."""
    loads = backbone.tower.config.is_clip and backbone.layout in REPOSITORIES
    return wanted if loads else backbone.layout


def apply(
    model: nn.Module, path: str | Path, strength: float = 1.0, *, force: bool = False
) -> TextEncoderPatch:
    """Load a patch file and apply it to a live CLIP: the one-liner for anybody's own script.

    Returns:
        The patch; its `revert(model)` takes it off again.

    Raises:
        FileError, PatchError, BackboneError: as `TextEncoderPatch.load` and `.apply`.
    """
    patch = TextEncoderPatch.load(path)
    patch.apply(model, strength, force=force)
    return patch
