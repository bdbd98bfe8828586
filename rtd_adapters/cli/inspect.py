"""`rtd inspect`: what a patch file is."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli.options import FILE, json_option
from rtd_adapters.cli.tables import before_after
from rtd_adapters.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from rtd_adapters.patch import PatchMetadata


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--as-config",
    is_flag=True,
    help="Print the options that made it, as `rtd patch --config` takes them.",
)
@json_option
def inspect(file: Path, as_config: bool, as_json: bool) -> None:
    """Show what a patch is: method, backbone, kind, tensors, fingerprints, settings, figures.

    Only the file's header is read.

    \b
    Example:
      rtd inspect weights.safetensors
      rtd inspect weights.safetensors --as-config > patch.yaml
    """
    from rtd_adapters.clip.precisions import dtype_named
    from rtd_adapters.io.checkpoints import read_header
    from rtd_adapters.io.hub_files import PATCH_FILE, fetched_file
    from rtd_adapters.patch import PatchMetadata

    tensors, header = read_header(fetched_file(file, PATCH_FILE))
    metadata = PatchMetadata.from_header(header, str(file))
    if as_config:
        from rtd_adapters.cli.config_of import config_of

        echo(*config_of(metadata).splitlines())
        return
    counted = [math.prod(shape) for _, shape in tensors.values()]
    size = dtype_named(metadata.dtype).itemsize * sum(counted)
    if as_json:
        summary = {"file": str(file), "tensors": len(tensors), "parameters": sum(counted)}
        echo_json(summary | {"bytes": size, "recipe": metadata.recipe} | asdict(metadata))
        return
    for name, value in _rows(metadata, len(tensors), sum(counted), size):
        echo(f"{name:<12} {value}")
    if metadata.figures:
        echo("", *before_after(metadata.figures["before"], metadata.figures["after"]))


def _rows(
    metadata: PatchMetadata, tensors: int, parameters: int, size: int
) -> list[tuple[str, str]]:
    shown = {key: value for key, value in metadata.training.items() if value and key != "recipe"}
    training = ", ".join(f"{key} {value}" for key, value in shown.items())
    rows = [
        ("method", metadata.method),
        ("backbone", f"{metadata.backbone} (activation {metadata.tower['activation']})"),
        ("tower", _tower(metadata)),
        ("kind", _kind(metadata)),
        ("layout", metadata.layout),
        (
            "tensors",
            f"{tensors} in {metadata.dtype}, {parameters:,} parameters, {size / 1e6:.1f} MB",
        ),
        ("prompt", metadata.composed_prompt),
        ("made for", metadata.base_fingerprint["fp32"][:16]),
        ("fingerprint", metadata.fingerprint["fp32"][:16]),
        ("triplets", _source(metadata.triplets)),
        ("projection", _source(metadata.projection)),
        ("calibration", _calibration(metadata.projection)),
        ("recipe", metadata.recipe),
        ("training", training),
        ("versions", ", ".join(f"{key} {value}" for key, value in metadata.versions.items())),
    ]
    return [(name, value) for name, value in rows if value]


def _tower(metadata: PatchMetadata) -> str:
    """What of its build is not CLIP's."""
    from rtd_adapters.clip.text import TowerConfig
    from rtd_adapters.errors import BackboneError

    try:
        tower = TowerConfig.from_dict(metadata.tower)
    except BackboneError as error:
        return f"not described: {error}"
    return ", ".join(f"{name} {value}" for name, value in tower.not_clips.items())


def _kind(metadata: PatchMetadata) -> str:
    if not metadata.lora:
        return metadata.kind
    return f"{metadata.kind} (rank {metadata.lora['rank']}, alpha {metadata.lora['alpha']:g})"


def _calibration(projection: dict[str, Any]) -> str:
    if "calibration" not in projection:
        return ""
    return "{count:,} pictures (sha256 {sha256:.12})".format(**projection["calibration"])


def _source(source: dict[str, Any]) -> str:
    if not source:
        return ""
    count = f"{source['count']:,} from " if "count" in source else ""
    return f"{count}{source['source']} (sha256 {source['sha256'][:12]})"
