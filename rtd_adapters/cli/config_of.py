"""The options that made a patch, read back out of its metadata."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from rtd_adapters.cli.config import as_yaml, name_of

if TYPE_CHECKING:
    from rtd_adapters.patch import PatchMetadata

_LABEL = re.compile(r"(?P<name>.+?\.json|[^/]+)/(?P<pretrained>.+)")
"""A backbone's name and its weights, as `Backbone.label` joins them."""
NOTE = "# Files are named as they were, without their folders."
CALIBRATED = "# It was calibrated on pictures: add calibrate, their folder."


def config_of(metadata: PatchMetadata) -> str:
    """A file for `rtd patch --config` that computes the same, given the same inputs.

    How it was carried out (checkpoints, devices, validation) stands in no patch.
    """
    from rtd_adapters.cli.patch import patch
    from rtd_adapters.clip.sources import backbone_source

    own = backbone_source(metadata.backbone) is not None
    label = (
        None if own or metadata.backbone.startswith("hf:") else _LABEL.fullmatch(metadata.backbone)
    )
    values = {
        "method": metadata.method,
        "backbone": label["name"] if label else metadata.backbone,
        "pretrained": label["pretrained"] if label else None,
        "projection": None if own else metadata.projection.get("source"),
        "method_options": metadata.projection.get("options"),
        "triplets": None if own else metadata.triplets.get("source"),
        "kind": metadata.kind,
        "dtype": metadata.dtype,
        **{f"lora_{name}": value for name, value in metadata.lora.items()},
        **metadata.training,
    }
    names = {str(o.name): name_of(o) for o in patch.params if isinstance(o, click.Option)}
    taken = {names[name]: value for name, value in values.items() if name in names}
    notes = [NOTE, *([CALIBRATED] if "calibration" in metadata.projection else [])]
    return "\n".join([*notes, as_yaml(taken)])
