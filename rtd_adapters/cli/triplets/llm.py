"""`rtd triplets llm`: triplets by a language model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.triplets.options import SOURCES, column_option
from rtd_adapters.cli.triplets.progress import note, note_made, watch

if TYPE_CHECKING:
    from rtd_adapters.triplets.llm.run import Ask, LlmCounts


@click.command(epilog=f"CAPTIONS is {SOURCES}.")
@click.argument("captions", required=False)
@click.option("-o", "--out", type=options.FILE, help="JSON lines to write.")
@column_option
@click.option("--endpoint", metavar="URL", help="OpenAI-compatible server, with its version.")
@click.option("--model", metavar="NAME", help="Model of that server.")
@click.option("--key-env", default="OPENAI_API_KEY", show_default=True, help="Holds the key.")
@click.option("--local", type=options.FOLDER, help="Transformers causal model of this machine.")
@click.option("--prompt", type=options.FILE, help="Your own prompt; has {caption} in it.")
@click.option("--show-prompt", is_flag=True, help="Print the prompt, to change it, and stop.")
@click.option("--temperature", type=options.FiniteRange(0), default=0.8, show_default=True)
@click.option("--max-tokens", type=click.IntRange(1), default=200, show_default=True)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Requests under way at once.",
)
@click.option(
    "--timeout", type=options.FiniteRange(1), default=120.0, show_default=True, help="In seconds."
)
@click.option(
    "--price",
    type=(options.FiniteRange(0), options.FiniteRange(0)),
    metavar="IN OUT",
    help="Of a million prompt and answer tokens, to show what the run cost.",
)
@options.seed_option
@options.overwrite_option
@options.quiet_option
def llm(
    captions: str | None,
    out: Path | None,
    column: str | None,
    prompt: Path | None,
    show_prompt: bool,
    concurrency: int,
    price: tuple[float, float] | None,
    overwrite: bool,
    quiet: bool,
    **model: Any,
) -> None:
    """Make triplets of CAPTIONS by a language model.

    The key is read from the environment and never shown. A run that broke off goes on when the
    same command is given again; no answer is paid for twice.
    """
    from rtd_adapters.triplets.llm.answers import load_prompt
    from rtd_adapters.triplets.llm.run import llm_triplets

    text = load_prompt(prompt)
    if show_prompt:
        click.echo(text, nl=False)
        return
    if captions is None or out is None:
        raise click.UsageError("CAPTIONS and --out are needed.")
    ask, identity = _model(**model)
    counts = llm_triplets(
        captions,
        out,
        ask,
        identity=identity,
        prompt=text,
        column=column,
        concurrency=1 if model["local"] else concurrency,
        overwrite=overwrite,
        watch=watch(quiet),
    )
    note_made(out, counts.triplets, counts.captions, counts.dropped, quiet)
    _note_cost(counts, price, quiet)


def _model(
    endpoint: str | None,
    model: str | None,
    key_env: str,
    local: Path | None,
    timeout: float,
    **sampling: Any,
) -> tuple[Ask, dict[str, Any]]:
    """The model that the options name, and what tells it and its settings from others."""
    if bool(endpoint and model) == bool(local):
        raise click.UsageError("Give either --endpoint and --model, or --local.")
    if local:
        from rtd_adapters.triplets.llm.local_model import LocalModel

        identity = {"endpoint": endpoint, "model": str(local), **sampling}
        return LocalModel(local, **sampling), identity
    from rtd_adapters.triplets.llm.endpoint import Endpoint

    key = os.environ.get(key_env)
    server = Endpoint(str(endpoint), str(model), key, timeout=timeout, **sampling)
    return server, server.identity


def _note_cost(counts: LlmCounts, price: tuple[float, float] | None, quiet: bool) -> None:
    cost = f", cost {counts.cost(*price):.2f}" if price else ""
    tokens = f"{counts.prompt_tokens:,} prompt and {counts.completion_tokens:,} answer tokens"
    note(f"  {tokens}{cost}", quiet)
