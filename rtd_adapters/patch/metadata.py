"""What a patch file says about itself: one JSON string under one safetensors metadata key.

One key, because a safetensors file with several is not reproducible byte for byte
(safetensors/safetensors#584). No wall-clock time stands in it, for the same reason.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from typing import Any

from rtd_adapters.errors import PatchError

KEY = "rtd"
SCHEMA = 1
PAPER = "paper"
"""The recipe of a file that names none: training as published."""
KINDS = {"str": str, "int": int, "dict": dict}
"""Of the fields below, by the beginning of their annotations."""
VERSIONED = ("rtd-adapters", "torch", "open_clip_torch", "peft", "safetensors")


@dataclass
class PatchMetadata:
    """Everything a run did, and what the patch fits."""

    method: str
    layout: str
    kind: str
    backbone: str
    """`name/pretrained`."""
    tower: dict[str, Any]
    """The tower's configuration: sizes and activation."""
    placeholder: str
    composed_prompt: str
    bare_prompt: str
    base_fingerprint: dict[str, str]
    """Of the tower it was trained for; one sha256 for each precision a model may be held in."""
    fingerprint: dict[str, str]
    """Of the patched tower."""
    dtype: str = "fp32"
    lora: dict[str, Any] = field(default_factory=dict)
    projection: dict[str, Any] = field(default_factory=dict)
    """Source and sha256."""
    triplets: dict[str, Any] = field(default_factory=dict)
    """Source, sha256 and count."""
    training: dict[str, Any] = field(default_factory=dict)
    """Hyperparameters and what the run counted."""
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    """`before` and `after`: metric name -> value, in the metric's own unit."""
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def recipe(self) -> str:
        """The recipe that the training settings began with."""
        name: str = self.training.get("recipe", PAPER)
        return name

    @property
    def title(self) -> str:
        """The patch in a few words, for messages."""
        return (
            f"the {self.kind} patch of {self.backbone} for {self.method} "
            f"(fingerprint {self.fingerprint['fp32'][:12]})"
        )

    def to_header(self) -> dict[str, str]:
        """The safetensors metadata of the file."""
        text = json.dumps(asdict(self), ensure_ascii=False)
        # A file's name may hold bytes that are no UTF-8; JSON writes them as \\udcNN.
        return {KEY: text.encode("utf-8", "backslashreplace").decode()}

    @classmethod
    def from_header(cls, header: Mapping[str, str], source: str) -> PatchMetadata:
        """Read it back.

        Raises:
            PatchError: `source` is no patch, or a later version of this package wrote it.
        """
        if KEY not in header:
            raise PatchError(
                f"{source} is a safetensors file but no patch: it has no {KEY!r} metadata."
            )
        try:
            values = json.loads(header[KEY])
            schema = values["schema"]
        except (ValueError, TypeError, KeyError) as error:
            raise PatchError(f"{source} has damaged {KEY!r} metadata: {error}.") from error
        if schema != SCHEMA:
            raise PatchError(
                f"{source} has schema {schema}, this version reads {SCHEMA}. Upgrade rtd-adapters."
            )
        known = {entry.name: KINDS[entry.type.partition("[")[0]] for entry in fields(cls)}
        for name, kind in known.items():
            if name in values and not isinstance(values[name], kind):
                raise PatchError(
                    f"{source} has damaged {KEY!r} metadata: {name} is no {kind.__name__}."
                )
        try:
            metadata = cls(**{name: value for name, value in values.items() if name in known})
            metadata._require_whole()
        except TypeError as error:
            raise PatchError(f"{source} has damaged {KEY!r} metadata: {error}.") from error
        return metadata

    def _require_whole(self) -> None:
        """Check what is in the fields that are read by name.

        Raises:
            TypeError: a fingerprint, the activation, or a number of the low-rank factors is
                missing.
        """
        for name in ("base_fingerprint", "fingerprint"):
            if not isinstance(getattr(self, name).get("fp32"), str):
                raise TypeError(f"{name} has no text 'fp32'")
        for name in ("rank", "alpha") if self.kind == "lora" else ():
            if not isinstance(self.lora.get(name), int | float):
                raise TypeError(f"lora has no number {name!r}")
        if not isinstance(self.tower.get("activation"), str):
            raise TypeError("tower has no text 'activation'")


def current_versions() -> dict[str, str]:
    """Versions that a patch's numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in VERSIONED}
