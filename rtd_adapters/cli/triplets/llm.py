"""`rtd triplets llm`: triplets by a language model."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.triplets.options import SOURCES, column_option
from rtd_adapters.cli.triplets.progress import note, note_made, watch

if TYPE_CHECKING:
    from rtd_adapters.triplets.llm.counts import LlmCounts
    from rtd_adapters.triplets.llm.talk import Faults


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
@click.option(
    "--no-check",
    is_flag=True,
    help="Take every triplet that can be read; else one with a flaw or that makes no "
    "sense is asked for again, once.",
)
@click.option(
    "--batch",
    is_flag=True,
    help="By the server's Batch API: a day at most, often at half the price.",
)
@click.option("--temperature", type=options.FiniteRange(0), default=0.8, show_default=True)
@click.option("--max-tokens", type=click.IntRange(1), default=200, show_default=True)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Requests under way at once, without --batch.",
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
    no_check: bool,
    batch: bool,
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
    from rtd_adapters.triplets.llm.batches import Batches
    from rtd_adapters.triplets.llm.run import batch_triplets, llm_triplets

    text = load_prompt(prompt)
    if show_prompt:
        click.echo(text, nl=False)
        return
    if captions is None or out is None:
        raise click.UsageError("CAPTIONS and --out are needed.")
    if batch and model["local"]:
        raise click.UsageError("--batch needs --endpoint: a model of this machine has no batches.")
    ask, identity = _model(**model)
    job: dict[str, Any] = {
        "identity": identity,
        "prompt": text,
        "column": column,
        "faults": None if no_check else _faults(captions, column),
        "overwrite": overwrite,
        "watch": watch(quiet),
    }
    if batch:
        say = partial(note, quiet=quiet)
        counts = batch_triplets(captions, out, Batches(ask), say=say, **job)
    else:
        at_once = 1 if model["local"] else concurrency
        counts = llm_triplets(captions, out, ask, concurrency=at_once, **job)
    note_made(out, counts.triplets, counts.captions, counts.dropped, quiet)
    _note_second_tries(counts, quiet)
    _note_cost(counts, price, quiet)


def _model(
    endpoint: str | None,
    model: str | None,
    key_env: str,
    local: Path | None,
    timeout: float,
    **sampling: Any,
) -> tuple[Any, dict[str, Any]]:
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


def _faults(captions: str, column: str | None) -> Faults:
    """What a triplet is checked for, by what the captions say; standard input is read but once, so
    that its triplets are checked for flaws alone."""
    from rtd_adapters.triplets.checking.filter import caption_filter
    from rtd_adapters.triplets.checking.flaws import Sieve
    from rtd_adapters.triplets.formats import STDIN
    from rtd_adapters.triplets.sources import read_captions

    if captions == STDIN:
        return Sieve().flaws_within
    return caption_filter(read_captions(captions, column))


def _note_second_tries(counts: LlmCounts, quiet: bool) -> None:
    for what, reasons in (
        ("asked again", counts.asked_again),
        ("submitted again", counts.submitted_again),
    ):
        for reason, number in reasons.most_common():
            note(f"  {what} ({reason}): {number:,}", quiet)


def _note_cost(counts: LlmCounts, price: tuple[float, float] | None, quiet: bool) -> None:
    cost = f", cost {counts.cost(*price):.2f}" if price else ""
    tokens = f"{counts.prompt_tokens:,} prompt and {counts.completion_tokens:,} answer tokens"
    note(f"  {tokens}{cost}", quiet)
