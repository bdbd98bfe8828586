"""`--config`: a command's options from a YAML file, and the other way round."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from rtd_adapters.errors import UsageError
from rtd_adapters.io.yaml_files import read_yaml

FLAG = "--config"


def with_config(command: click.Command) -> click.Command:
    """The command, and those below it, with `--config` where it has options and none so called.

    Not where unknown options are another program's.
    """
    for inner in getattr(command, "commands", {}).values():
        with_config(inner)
    taken = any(FLAG in parameter.opts for parameter in command.params)
    another = command.context_settings.get("ignore_unknown_options", False)
    if _options(command) and not taken and not another:
        option = click.Option(
            [FLAG, "config_file"],
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            callback=_read,
            help="Options from a YAML file, under their names here without the dashes; those of "
            "the command line win.",
        )
        command.params.append(option)
    return command


def _options(command: click.Command) -> dict[str, click.Option]:
    """Options by the name that stands in a file."""
    given = (p for p in command.params if isinstance(p, click.Option) and p.expose_value)
    return {name_of(option): option for option in given}


def name_of(option: click.Option) -> str:
    """The option's long name, without dashes."""
    return max(option.opts, key=len).lstrip("-")


def _read(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Make a file's values the defaults of what the command line does not name; click reads that
    after what it names."""
    if path is None:
        return
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no options. Write lines like `batch-size: 64`.")
    options = _options(context.command)
    taken: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace("_", "-")
        if name not in options:
            near = get_close_matches(name, options, 1)
            hint = f"Did you mean {near[0]}?" if near else f"See {context.command_path} --help."
            raise UsageError(f"{path}: {context.command_path} has no option {key!r}. {hint}")
        if options[name].name in taken:
            raise UsageError(f"{path} has {name} twice. Leave one out.")
        taken[str(options[name].name)] = _as_typed(options[name], value, f"{path}: {name}")
    context.default_map = taken


def _as_typed(option: click.Option, value: Any, where: str) -> Any:
    """A value as the command line would have it: a text, several, or whether a flag is set."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{where} is a flag. Write true or false.")
        return value
    if isinstance(value, dict) and option.multiple:
        value = [f"{name}={_text(inner, where)}" for name, inner in value.items()]
    if option.multiple or option.nargs != 1:
        values = value if isinstance(value, list) else [value]
        return [_text(inner, where) for inner in values]
    if isinstance(value, list):  # such options take texts joined by commas
        return ",".join(_text(inner, where) for inner in value)
    return _text(value, where)


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        what = "empty" if value is None else f"{str(value)[:40]!r}, which it does not take"
        raise UsageError(f"{where} is {what}. Write what the command line takes.")
    return str(value)


def resolved(context: click.Context) -> str:
    """All options that a command runs with, as a file that `--config` takes."""
    values = {
        name: context.params.get(str(o.name)) for name, o in _options(context.command).items()
    }
    return as_yaml(values)


def as_yaml(values: Mapping[str, Any]) -> str:
    """Options as a file that `--config` takes; unset ones are left out."""
    plain = {name: _plain(value) for name, value in values.items()}
    # JSON's values are YAML's too, and leave no text to be taken for a number.
    return "".join(
        f"{name}: {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in plain.items()
        if value not in (None, [], {})
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
