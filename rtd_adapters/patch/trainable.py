"""The kinds of patches that can be trained: full, or low-rank through peft."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtd_adapters.clip.text import TextTower
from rtd_adapters.errors import PatchError
from rtd_adapters.patch.lora import LoRASettings, insert_lora, merged_state, write_adapter
from rtd_adapters.patch.text_encoder_patch import TrainablePatch

MERGE_TOLERANCE = 1e-4
PROBES = ("a photo of a dog", "a photo of $ that is smaller", "three red stars on a dark wall")


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
        ids = self.base.tokenizer().encode(PROBES)
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
