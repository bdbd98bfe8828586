"""Options that mean the same in every command."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from rtd_adapters.io.hub_files import fetched_file

Command = TypeVar("Command", bound=Callable[..., Any])


class FileOrHub(click.Path):
    """A file that is read: of this disk, or of Hugging Face's Hub, fetched when it is asked for."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """The path; FileError or UsageError of ours where it cannot be fetched."""
        return super().convert(fetched_file(os.fspath(value)), param, ctx)


FILE = click.Path(dir_okay=False, path_type=Path)
INPUT = FileOrHub()
FOLDER = click.Path(file_okay=False, path_type=Path)


class _Finite:
    """Refuses NaN and infinity, which are numbers to click."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; a usage error that names the option otherwise."""
        number: float = super().convert(value, param, ctx)  # type: ignore[misc]
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)  # type: ignore[attr-defined]
        return number


class FiniteNumber(_Finite, click.types.FloatParamType):
    """A number whose range is known where the setting is kept."""


class FiniteRange(_Finite, click.FloatRange):
    """A number within a range."""


def together(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator; `--help` shows them in the given order."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def complete_methods(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Names for shell completion, taken from the entry points; no plugin is imported."""
    from importlib.metadata import entry_points

    from rtd_adapters.hooks.registry import GROUP

    names = {entry.name for entry in entry_points(group=GROUP)}
    return sorted(name for name in names if name.startswith(incomplete))


def _chosen(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """NAME=VALUE texts by name."""
    chosen: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{text!r} is not NAME=VALUE.")
        if name in chosen:
            raise click.BadParameter(f"{name} is given twice.")
        chosen[name] = value
    return chosen


def with_stand_in(chosen: dict[str, str], stand_in: str | None) -> dict[str, str]:
    """Options of the method, the one that `--stand-in` stands for included."""
    from rtd_adapters.methods.method import STAND_IN

    if stand_in is None:
        return chosen
    if STAND_IN in chosen:
        raise click.UsageError(f"Pass either --stand-in or --method-option {STAND_IN}.")
    return {**chosen, STAND_IN: stand_in}


def take_fields(settings: type, given: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Take the values out of `given` that are fields of a dataclass; unset ones go.

    Args:
        prefix: what the options' names have before the fields'.
    """
    names = [field.name for field in fields(settings) if prefix + field.name in given]
    values = {name: given.pop(prefix + name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def set_among(given: Iterable[str]) -> list[str]:
    """Flags of those parameters of the running command that its user set."""
    context = click.get_current_context()
    return [p.opts[-1] for p in context.command.params if p.name in given and _is_set(p, context)]


def _is_set(parameter: click.Parameter, context: click.Context) -> bool:
    name, source = str(parameter.name), click.core.ParameterSource
    if context.get_parameter_source(name) is source.DEFAULT_MAP:
        # The options that a folder keeps name all, those that nobody chose too.
        return bool(context.params[name] != parameter.get_default(click.Context(context.command)))
    return context.get_parameter_source(name) is not source.DEFAULT


method_option = click.option(
    "-m",
    "--method",
    required=True,
    shell_complete=complete_methods,
    help="Composed-image-retrieval method, as `rtd methods` lists them.",
)
method_options_option = click.option(
    "--method-option",
    "method_options",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_chosen,
    help="An option of the method, as `rtd methods` lists them. Repeatable.",
)
strength_option = click.option(
    "--strength",
    type=FiniteNumber(),
    default=1.0,
    show_default=True,
    help="Of the patch: 0 is the base encoder, 1 the patched one.",
)
stand_in_option = click.option(
    "--stand-in",
    metavar="NAME",
    help="What training shows a method that reads a picture's states in their place: tokens, "
    "caption or words, as the method has them; where KEDs looks a caption's neighbours up: banks "
    "or captions; or reuse, which trains against the prompts and projection of a simpler method, "
    "SEARLE.  [as `rtd methods` says]",
)
calibrate_option = click.option(
    "--calibrate",
    metavar="FOLDER",
    type=FOLDER,
    help="Fit the lift of captions to image states to the pictures in FOLDER: 32 or more, a few "
    "hundred are best. For stand-ins that are lifted (tokens, caption), on vision transformers. "
    "Our own idea.",
)
backbone_option = click.option(
    "--backbone",
    default="demo",
    show_default=True,
    help="`demo` (the built-in world), an open_clip name such as ViT-L-14, an open_clip "
    "model-config JSON, or a transformers folder (docs/towers.md), here or on the Hub: owner/name.",
)
pretrained_option = click.option(
    "--pretrained",
    help="Weights of the backbone: an open_clip tag such as openai, or a .safetensors or .pt "
    "file, here or on the Hub: hf://owner/name/file.",
)
PROJECTION = (
    "The method's own projection checkpoint, here or on the Hub: hf://owner/name/file. The demo "
    "brings one."
)
projection_option = click.option("--projection", type=INPUT, help=PROJECTION)
composing_projection_option = click.option(
    "--projection", type=INPUT, help=f"{PROJECTION} Plain captions are searched without it."
)
"""Of commands that search, and may have nothing to compose."""
benchmark_option = click.option(
    "--benchmark",
    help="What is searched, as `rtd plugins` lists them; docs/evaluation.md has each one's files.  "
    "[the backbone's own world]",
)
data_option = click.option(
    "--data", type=FOLDER, help="The folder in which the benchmark was unpacked."
)
split_option = click.option(
    "--split",
    type=click.Choice(["val", "test"]),
    default="val",
    show_default=True,
    help="Of the benchmark.",
)
kind_option = click.option(
    "--kind",
    type=click.Choice(["full", "lora"]),
    default="full",
    show_default=True,
    help="Train every tensor of the text tower, or low-rank factors on its linear layers.",
)
recipe_option = click.option(
    "--recipe",
    type=click.Choice(["paper", "balanced"]),
    default="paper",
    show_default=True,
    help="Where unset hyperparameters come from: `paper`, as published, or `balanced`, ours, which "
    "keeps more of text-to-image recall for eight times the work: plain caption pairs, a batch "
    "four times as large, twice the steps, a cosine schedule.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Decides everything random; one seed, one result, bit for bit.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "mps"]),
    help="Where to compute.  [accelerate's choice]",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Processes that read pictures; with 0 the command itself reads them. A GPU wants as many "
    "as there are cores.",
)
search_size_option = click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Pictures, and queries, at a time.",
)
preprocess_option = click.option(
    "--preprocess",
    type=click.Choice(["clip", "targetpad"]),
    default="clip",
    show_default=True,
    help="The backbone's own image transform, or padding first, as SEARLE does by default.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["no", "fp16", "bf16"]),
    default="no",
    show_default=True,
    help="Autocast of the image tower. Embeddings are kept in fp32.",
)
extraction_options = together(
    device_option,
    workers_option,
    precision_option,
    click.option(
        "--skip-broken",
        is_flag=True,
        help="Leave out pictures that cannot be read, and the queries that lose their reference "
        "or every right answer; say how many.",
    ),
)
"""How pictures are embedded."""
max_steps_option = click.option(
    "--max-steps", "steps", type=click.IntRange(0), help="Stop after this many optimiser steps."
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many to learn and judge at once, each in a process of its own; fewer where memory "
    "does not do. Processors are shared out, unless OMP_NUM_THREADS says how many threads each "
    "process has.",
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace outputs that exist already."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else, to stdout."
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="No progress bar and no status lines."
)
