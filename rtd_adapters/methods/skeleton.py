"""Writes the skeleton of a plugin distribution, ready to install."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from rtd_adapters.errors import UsageError
from rtd_adapters.io.atomic import whole_folder

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_skeleton(name: str, folder: Path, taken: frozenset[str] = frozenset()) -> list[Path]:
    """Write a distribution that adds a method, and return its files.

    Args:
        name: the method's, as `--method` takes it.
        folder: where; it must not exist yet.
        taken: names of methods that are installed.

    Raises:
        UsageError: the name is no lower-case identifier, or taken.
        FileError: the folder exists or cannot be written; nothing is left of it then.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a method: use lower-case letters, digits and _, a letter first."
        )
    if name in taken:
        raise UsageError(f"A method {name!r} is installed already. Choose another name.")
    files = {
        "pyproject.toml": "pyproject.toml.in",
        f"rtd_{name}.py": "module.py.in",
        "test_plugin.py": "test_plugin.py.in",
        "README.md": "README.md.in",
    }
    with whole_folder(folder) as temporary:
        for file, template in files.items():
            text = (TEMPLATES / template).read_text(encoding="utf-8")
            (temporary / file).write_text(_filled(text, name), encoding="utf-8")
    return [folder / file for file in files]


def next_commands(name: str, folder: Path) -> list[str]:
    """What to type after `write_skeleton`, from the skeleton to a first patch.

    Args:
        folder: of the skeleton, seen from where the commands are typed.
    """
    # A bare name would be looked up in the package index; a path never is.
    place = str(folder) if folder.is_absolute() or folder == Path() else f"./{folder.as_posix()}"
    return [
        f"pip install {shlex.quote(place)}",
        "rtd methods",
        f"python -m rtd_adapters.demo.build --projection {name} --out {name}.safetensors",
        f"rtd patch --method {name} --projection {name}.safetensors --out weights.safetensors",
    ]


def _filled(text: str, name: str) -> str:
    words = [word.capitalize() for word in name.split("_")]
    values = {
        "@name@": name,
        "@Name@": " ".join(words),
        "@Class@": "".join(words),
        "@commands@": "\n    ".join(next_commands(name, Path())),
    }
    for sign, value in values.items():
        text = text.replace(sign, value)
    return text
