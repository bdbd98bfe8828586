"""Patches in the making: full, or low-rank through peft."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.text import TextTower, Tokenizer, fingerprint
from rtd_adapters.errors import PatchError
from rtd_adapters.methods.method import Method
from rtd_adapters.patch.lora import LoRASettings, insert_lora, merged_state, write_adapter
from rtd_adapters.patch.metadata import PatchMetadata, current_versions
from rtd_adapters.patch.text_encoder_patch import TextEncoderPatch

P = TypeVar("P", bound="TrainablePatch")

MERGE_TOLERANCE = 1e-4
PROBES = ("a photo of a dog", "a photo of $ that is smaller", "three red stars on a dark wall")


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

    @classmethod
    def begin(
        cls: type[P],
        backbone: Backbone,
        method: Method,
        *,
        lora: LoRASettings | None = None,
        seed: int = 0,
    ) -> P:
        """A patch that equals its base until it is trained. See `TextEncoderPatch.create`."""
        base = backbone.tower
        student = copy.deepcopy(base).requires_grad_(True)
        added = cls.prepare(student, lora, seed)
        base_fingerprint = fingerprint(base.state_dict())
        metadata = PatchMetadata(
            method=method.name,
            layout=method.layout,
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
        return {
            "method": self.metadata.method,
            "kind": self.metadata.kind,
            "lora": self.metadata.lora,
            "base_fingerprint": self.metadata.base_fingerprint["fp32"],
            "projection": self.metadata.projection.get("sha256"),
            "triplets": self.metadata.triplets.get("sha256"),
        }

    def fit(self, trainer: Trains) -> Any:
        """Train with a `Trainer`; returns its record."""
        record = trainer.train(self.student, self.identity())
        self.metadata.fingerprint = fingerprint(self.state())
        return record


class FullPatch(TrainablePatch, kind="full"):
    """Every tensor of the tower is trained, embeddings included, as in the published run."""

    def state(self) -> Mapping[str, Tensor]:
        """The patched tower's tensors as they stand now, under `TextTower`'s names."""
        return {name: tensor.detach() for name, tensor in self.student.state_dict().items()}


class LoRAPatch(TrainablePatch, kind="lora"):
    """Low-rank factors on the tower's linear layers; saved merged, and apart if asked."""

    @classmethod
    def prepare(cls, student: TextTower, lora: LoRASettings | None, seed: int) -> dict[str, Any]:
        """Add factors, drawn from the seed."""
        settings = lora or LoRASettings()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            insert_lora(student, settings)
        return settings.to_dict()

    def state(self) -> Mapping[str, Tensor]:
        """The tower with its factors merged in fp32, under `TextTower`'s names."""
        return merged_state(self.student)

    @torch.no_grad()
    def merge_difference(self) -> float:
        """Largest difference between merged and unmerged outputs, over probes' unit embeddings.

        Raises:
            PatchError: it is above 1e-4, so the merged file would not be what was trained.
        """
        ids = Tokenizer(self.base.config.context_length).encode(PROBES)
        was_training = self.student.training
        outputs = [tower(ids) for tower in (self.student.eval(), self.build_tower())]
        self.student.train(was_training)
        adapter, merged = (torch.nn.functional.normalize(output, dim=-1) for output in outputs)
        difference = (adapter - merged).abs().max().item()
        if difference > MERGE_TOLERANCE:
            raise PatchError(
                f"the merged weights differ from the adapter by {difference:.1e} (more than "
                f"{MERGE_TOLERANCE:.0e}). Keep the adapter (--adapter-out) and report this."
            )
        return difference

    def save_adapter(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the factors alone in PEFT's own format, named for transformers' text tower.

        `peft.PeftModel.from_pretrained(CLIPTextModelWithProjection, folder)` loads it.

        Raises:
            FileError: the folder exists and `overwrite` is off, or the disk refuses.
        """
        write_adapter(self.student, Path(folder), self.metadata, overwrite=overwrite)
