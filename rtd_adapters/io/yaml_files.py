"""The one way in which YAML from outside is read: bounded, nothing of it run, no key twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from rtd_adapters.errors import FileError, first_line
from rtd_adapters.io.bounded import read_bounded

LARGEST = 1 << 20
"""Bytes of a YAML file; people write them by hand."""
TAG = "tag:yaml.org,2002:"
PLAIN = {
    "null": (r"~|null|", ["~", "n", ""]),
    "bool": (r"true|false", ["t", "f"]),
    "int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (
        r"[-+]?([0-9]+\.[0-9]*([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
"""What words without quotes are, as in YAML 1.2: `no` and `2024-01-01` are texts, `1e-5` a number.
A pattern, and the signs it begins with."""
KINDS = ("null", "bool", "int", "float", "str", "seq", "map")


class _Loader(yaml.SafeLoader):
    """Makes null, truth values, numbers, texts, lists and objects, and nothing else."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """An object, no key of which is there twice."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value[:40]!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


_Loader.yaml_implicit_resolvers = {}
for _kind, (_pattern, _first) in PLAIN.items():
    _Loader.add_implicit_resolver(TAG + _kind, re.compile(f"(?:{_pattern})$"), _first)
_Loader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(TAG) in KINDS
}


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, as plain values.

    Raises:
        FileError: it is missing, too large, no regular file, no YAML, holds a key twice, or a tag
            that asks for more than plain values; the line is named.
    """
    text = read_bounded(path, LARGEST)
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(f"{path} is not valid YAML: {_fault(error)}. Mend the file.") from error


def _fault(error: Exception) -> str:
    """What is wrong, and in which line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    what = problem or first_line(error)
    return f"line {mark.line + 1}: {what}" if mark else what
