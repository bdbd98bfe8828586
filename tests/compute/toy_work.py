"""Pieces of work for processes, which import them by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from rtd_adapters.compute.at_once import at_once
from rtd_adapters.compute.signals import signals_raised
from rtd_adapters.errors import FileError, MissingFilesError


def square(number, tell):
    """The number's square, by which process, with which SLOT, and from when to when."""
    tell(f"{number} begun")
    began = time.monotonic()
    time.sleep(0.3)
    return number**2, os.getpid(), os.environ.get("SLOT"), (began, time.monotonic())


def wait(folder, tell):
    """For a minute; tidies up."""
    own = Path(folder) / str(os.getpid())
    try:
        own.write_text("at work")
        time.sleep(60)
    finally:
        own.write_text("tidied")


class Awkward(Exception):
    """Does not survive the way between processes."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail(kind, tell):
    """After another one is at work, whose folder is given with the kind."""
    kind, _, folder = kind.partition(" ")
    deadline = time.monotonic() + 30
    while folder and not _at_work(Path(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    if kind == "file":
        raise FileError("x.pt is damaged. Fetch it again.")
    if kind == "missing":
        raise MissingFilesError("a, b are missing.", ["a", "b"])
    if kind == "awkward":
        raise Awkward(1, 2)
    os.kill(os.getpid(), signal.SIGKILL)


def _at_work(folder):
    return any(path.read_text() == "at work" for path in folder.iterdir())


def either(given, tell):
    """Whatever is asked for."""
    name, argument = given
    return globals()[name](argument, tell)


if __name__ == "__main__":
    here = sys.argv[1]
    with signals_raised():
        at_once(wait, {"one": here, "two": here}, [{}, {}], print, print)
