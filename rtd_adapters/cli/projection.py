"""`rtd projection`: a repository's own projection checkpoint, as a file every command takes."""

from __future__ import annotations

from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json


@click.group()
def projection() -> None:
    """Convert a method's projection checkpoint once into a safetensors file.

    \b
    Example:
      rtd projection convert SEARLE_ViT-L14.pt --method searle --backbone ViT-L-14 \\
          --out searle.safetensors
    """


@projection.command()
@click.argument("checkpoint", type=options.FILE)
@options.method_option
@options.method_options_option
@click.option(
    "--backbone",
    required=True,
    help="The backbone it was trained for, as in `rtd patch`; only its sizes are looked up.",
)
@click.option("-o", "--out", type=options.FILE, required=True, help="The safetensors file.")
@options.overwrite_option
@options.json_option
def convert(
    checkpoint: Path,
    method: str,
    method_options: dict[str, str],
    backbone: str,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write CHECKPOINT anew as safetensors, with its method and origin in the metadata.

    Of a method whose projection has several files, the method's options name the others, and
    what is written holds all of them.

    \b
    Example:
      rtd projection convert SEARLE_ViT-L14.pt --method searle --backbone ViT-L-14 \\
          --out searle.safetensors
    """
    from rtd_adapters.clip.backbones import backbone_shape
    from rtd_adapters.io.atomic import require_writable
    from rtd_adapters.io.locks import claimed
    from rtd_adapters.methods.installed import get_method
    from rtd_adapters.methods.projections import convert_projection

    with claimed(out):
        require_writable(out, overwrite=overwrite)
        metadata = convert_projection(
            get_method(method).configured(method_options),
            checkpoint,
            backbone_shape(backbone),
            backbone,
            out,
        )
    if as_json:
        echo_json({"file": str(out)} | metadata)
    else:
        echo(f"{out}: projection of {method} for {backbone}, from {checkpoint.name}")
