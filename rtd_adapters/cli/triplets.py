"""`rtd triplets`: make triplets of captions, judge them, look at some."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtd_adapters.cli import options

if TYPE_CHECKING:
    from rtd_adapters.triplets.keywords import KeywordFinder
    from rtd_adapters.triplets.vocabulary import Embed

UNFIT_EXIT = 1
SOURCES = (
    "a .json, .jsonl, .csv, .tsv or .txt file (also .gz, .bz2, .xz), .parquet, .arrow, a dataset's "
    "folder, hub:NAME@SPLIT, or - for standard input"
)

column_option = click.option("--column", help="Name of the caption column.  [caption or text]")
columns_option = click.option(
    "--columns",
    metavar="FIELD=NAME,...",
    help="Names of the three texts, as in reference=src,conditioning=edit,target=dst. The official "
    "and some other datasets' names are known.",
)
encoder_option = click.option(
    "--backbone",
    help="Text encoder that similarities are measured with: an open_clip name, a model-config "
    "JSON, a transformers CLIP folder, or `demo`.  [none]",
)


@click.group()
def triplets() -> None:
    """Make triplets of captions, judge them, look at some.

    \b
    Example:
      rtd triplets rules captions.txt --out triplets.jsonl
    """


@triplets.command(epilog=f"CAPTIONS is {SOURCES}.")
@click.argument("captions")
@click.option("-o", "--out", type=options.FILE, required=True, help="JSON lines to write.")
@column_option
@encoder_option
@options.pretrained_option
@click.option(
    "--band",
    type=(float, float),
    default=(0.5, 0.7),
    show_default=True,
    metavar="LOW HIGH",
    help="Cosine between a word and what may replace it, under --backbone.",
)
@click.option(
    "--keywords",
    type=click.Choice(["spacy", "word-list"]),
    help="What finds the words to swap.  [spacy where it is installed]",
)
@click.option(
    "--per-caption",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="At most so many triplets of one caption.",
)
@click.option(
    "--min-count",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Leave out words that occur less often.",
)
@click.option(
    "--vocabulary",
    type=click.IntRange(2),
    default=5000,
    show_default=True,
    help="Use so many words, the most frequent ones.",
)
@options.seed_option
@options.overwrite_option
@options.quiet_option
def rules(
    captions: str,
    out: Path,
    column: str | None,
    backbone: str | None,
    pretrained: str | None,
    band: tuple[float, float],
    keywords: str | None,
    overwrite: bool,
    quiet: bool,
    **settings: int,
) -> None:
    """Make triplets by swapping words of CAPTIONS for others of the same captions.

    A run that broke off goes on when the same command is given again.
    """
    from rtd_adapters.triplets.rules import RuleSettings, rule_triplets

    if backbone is None and not quiet:
        click.echo("No --backbone: words are swapped whatever their similarity.", err=True)
    counts = rule_triplets(
        captions,
        out,
        RuleSettings(band=band, **settings),
        column=column,
        finder=_finder(keywords),
        embed=_embed(backbone, pretrained),
        encoder=backbone and f"{backbone} {pretrained}",
        overwrite=overwrite,
        watch=_watch(quiet),
    )
    _say_made(out, counts.triplets, counts.captions, counts.dropped, quiet)


@triplets.command(epilog=f"CAPTIONS is {SOURCES}.")
@click.argument("captions", required=False)
@click.option("-o", "--out", type=options.FILE, help="JSON lines to write.")
@column_option
@click.option("--endpoint", metavar="URL", help="OpenAI-compatible server, with its version.")
@click.option("--model", metavar="NAME", help="Model of that server.")
@click.option("--key-env", default="OPENAI_API_KEY", show_default=True, help="Holds the key.")
@click.option("--local", type=options.FOLDER, help="Transformers causal model of this machine.")
@click.option("--prompt", type=options.FILE, help="Your own prompt; has {caption} in it.")
@click.option("--show-prompt", is_flag=True, help="Print the prompt, to change it, and stop.")
@click.option("--temperature", type=click.FloatRange(0), default=0.8, show_default=True)
@click.option("--max-tokens", type=click.IntRange(1), default=200, show_default=True)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Requests under way at once.",
)
@click.option(
    "--timeout", type=click.FloatRange(1), default=120.0, show_default=True, help="In seconds."
)
@click.option(
    "--price",
    type=(float, float),
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
    endpoint: str | None,
    model: str | None,
    key_env: str,
    local: Path | None,
    prompt: Path | None,
    show_prompt: bool,
    concurrency: int,
    timeout: float,
    price: tuple[float, float] | None,
    overwrite: bool,
    quiet: bool,
    **sampling: Any,
) -> None:
    """Make triplets of CAPTIONS by a language model.

    The key is read from the environment and never shown. A run that broke off goes on when the
    same command is given again; no answer is paid for twice.
    """
    from rtd_adapters.triplets.answers import load_prompt
    from rtd_adapters.triplets.llm import llm_triplets

    text = load_prompt(prompt)
    if show_prompt:
        click.echo(text, nl=False)
        return
    if captions is None or out is None:
        raise click.UsageError("CAPTIONS and --out are needed.")
    if bool(endpoint and model) == bool(local):
        raise click.UsageError("Give either --endpoint and --model, or --local.")
    ask: Any
    if local:
        from rtd_adapters.triplets.local_model import LocalModel

        ask, concurrency = LocalModel(local, **sampling), 1
    else:
        from rtd_adapters.triplets.endpoint import Endpoint

        key = os.environ.get(key_env)
        ask = Endpoint(str(endpoint), str(model), key, timeout=timeout, **sampling)
    counts = llm_triplets(
        captions,
        out,
        ask,
        identity={"endpoint": endpoint, "model": str(local or model), **sampling},
        prompt=text,
        column=column,
        concurrency=concurrency,
        overwrite=overwrite,
        watch=_watch(quiet),
    )
    _say_made(out, counts.triplets, counts.captions, counts.dropped, quiet)
    cost = f", cost {counts.cost(*price):.2f}" if price else ""
    tokens = f"{counts.prompt_tokens:,} prompt and {counts.completion_tokens:,} answer tokens"
    _note(f"  {tokens}{cost}", quiet)


@triplets.command(epilog=f"FILE is {SOURCES}.")
@click.argument("file")
@columns_option
@encoder_option
@options.pretrained_option
@click.option("--html", type=options.FILE, help="Write a report with histograms and samples.")
@click.option(
    "--fix",
    type=options.FILE,
    help="Write a clean copy: whole triplets that are new, in Latin letters and changed by their "
    "text, without placeholders.",
)
@options.seed_option
@options.json_option
@options.overwrite_option
@options.quiet_option
def check(
    file: str,
    columns: str | None,
    backbone: str | None,
    pretrained: str | None,
    html: Path | None,
    fix: Path | None,
    seed: int,
    as_json: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Judge the triplets in FILE: good, doubtful or unfit (exit code 1), with reasons."""
    from rtd_adapters.io.atomic import require_writable, whole_file
    from rtd_adapters.triplets import write_triplets
    from rtd_adapters.triplets.columns import parse_columns
    from rtd_adapters.triplets.quality import clean_triplets, measure
    from rtd_adapters.triplets.quality_report import as_dict, as_html, as_text
    from rtd_adapters.triplets.verdict import UNFIT, judge

    for path in filter(None, (html, fix)):
        require_writable(path, overwrite=overwrite)
    if fix and file == "-":
        raise click.UsageError("--fix reads FILE a second time, which standard input cannot be.")
    names = parse_columns(columns) if columns else None
    watch = _watch(quiet)
    found = measure(file, columns=names, embed=_embed(backbone, pretrained), seed=seed, watch=watch)
    verdict = judge(found)
    click.echo(json.dumps(as_dict(found, verdict)) if as_json else as_text(found, verdict))
    if html:
        with whole_file(html) as temporary:
            temporary.write_text(as_html(found, verdict), encoding="utf-8")
        _note(f"wrote {html}", quiet)
    if fix:
        kept = write_triplets(fix, clean_triplets(file, names, watch))
        _note(f"wrote {fix}: {kept:,} of {found.rows:,} rows", quiet)
    if verdict.word == UNFIT:
        sys.exit(UNFIT_EXIT)


@triplets.command(epilog=f"FILE is {SOURCES}.")
@click.argument("file")
@columns_option
@click.option(
    "-n", "--number", type=click.IntRange(1), default=10, show_default=True, help="How many."
)
@options.seed_option
@options.json_option
def sample(file: str, columns: str | None, number: int, seed: int, as_json: bool) -> None:
    """Print some triplets of FILE, drawn at random."""
    import random

    from rtd_adapters.triplets import read_triplets
    from rtd_adapters.triplets.columns import parse_columns
    from rtd_adapters.triplets.quality_report import as_table
    from rtd_adapters.triplets.sources import as_dict

    found = read_triplets(file, parse_columns(columns) if columns else None)
    drawn = random.Random(seed).sample(range(len(found)), min(number, len(found)))
    rows = [found[place] for place in drawn]
    if as_json:
        click.echo(json.dumps([as_dict(row) for row in rows]))
    else:
        click.echo(as_table(rows, shutil.get_terminal_size((100, 24)).columns))


def _finder(keywords: str | None) -> KeywordFinder:
    from rtd_adapters.triplets.keywords import SpacyFinder, WordListFinder, default_finder

    if keywords is None:
        return default_finder()
    return SpacyFinder() if keywords == "spacy" else WordListFinder()


def _embed(backbone: str | None, pretrained: str | None) -> Embed | None:
    if backbone is None:
        if pretrained:
            raise click.UsageError("--pretrained needs --backbone.")
        return None
    from rtd_adapters.clip.backbones import load_backbone

    return load_backbone(backbone, pretrained).drop_images().embed_captions


def _watch(quiet: bool) -> Callable[[Iterable[Any], str], Iterable[Any]]:
    from tqdm import tqdm

    hidden = True if quiet else None  # None: where stderr is no terminal
    return lambda rows, label: tqdm(rows, desc=label, disable=hidden, unit_scale=True)


def _say_made(out: Path, made: int, captions: int, dropped: Any, quiet: bool) -> None:
    _note(f"wrote {out}: {made:,} triplets of {captions:,} captions", quiet)
    for reason, count in dropped.most_common():
        if count:
            _note(f"  {reason}: {count:,}", quiet)


def _note(line: str, quiet: bool) -> None:
    if not quiet:
        click.echo(line, err=True)
