"""Runs the command line inside the test's own process, which spares it the imports."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import pytest


@dataclass
class Run:
    returncode: int
    stdout: str
    stderr: str


def run_rtd(*arguments) -> Run:
    """What `rtd ARGUMENTS` prints and its exit code."""
    from rtd_adapters.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(map(str, arguments)))
        except SystemExit as exit_:
            code = exit_.code
    return Run(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def rtd():
    """Runs `rtd` with the given arguments."""
    return run_rtd


@pytest.fixture(scope="session")
def patch(rtd):
    """Runs `rtd patch --method searle --out OUT` with further arguments."""
    return lambda out, *arguments: rtd("patch", "--method", "searle", "--out", out, *arguments)
