"""`rtd push`: a patch to Hugging Face's Hub."""

from __future__ import annotations

from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json


@click.command()
@click.argument("patch", type=options.FILE)
@click.argument("repository")
@click.option(
    "--license",
    "licence",
    help="The Hub's word for the patch's licence, such as mit. It holds a whole text tower: the "
    "backbone's own licence binds, and that of the triplets may.",
)
@click.option(
    "--base-model",
    help="The Hub's name of the backbone, owner/name.  [known for open_clip's tags and what came "
    "from the Hub]",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="The Hub's name of what the triplets or the projection were made from. Repeatable.",
)
@click.option("--private", is_flag=True, help="Make a private repository, where it is made.")
@click.option("--message", help="Of the commit.  [what the patch is]")
@options.json_option
def push(
    patch: Path,
    repository: str,
    licence: str | None,
    base_model: str | None,
    datasets: tuple[str, ...],
    private: bool,
    message: str | None,
    as_json: bool,
) -> None:
    """Push PATCH, byte for byte, with its model card to REPOSITORY on Hugging Face's Hub.

    REPOSITORY is owner/name or owner/name@branch; what does not exist is made. Log in first:
    `hf auth login`, or HF_TOKEN. Where a patch is taken, REPOSITORY is then enough.

    \b
    Examples:
      rtd push weights.safetensors me/searle-rtd --license mit
      rtd eval --method searle --patch me/searle-rtd
    """
    from rtd_adapters.patch import TextEncoderPatch
    from rtd_adapters.patch.card import CardFacts
    from rtd_adapters.patch.push import push_file

    metadata = TextEncoderPatch.load(patch).metadata
    facts = CardFacts(licence, base_model, datasets)
    address = push_file(patch, metadata, repository, facts, private=private, message=message)
    if as_json:
        echo_json({"file": str(patch), "repository": repository, "commit": address})
    else:
        echo(f"{address}: {metadata.title}")
