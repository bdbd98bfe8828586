"""Which tests reach which lines: those that reach a changed line judge the change.

A line that runs on import, or in a fixture that tests share, counts as reached by all.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

SHARED = ""
"""In the place of a test's name: what shared fixtures reach."""


@dataclass(frozen=True)
class Reached:
    """What one test did."""

    seconds: float
    lines: set[tuple[str, int]]
    """Path below the copy of the code, and number."""


def nearest(reached: dict[str, Reached], module: str, source: str, line: int) -> list[str]:
    """The tests that reach the statement around a line, the fastest first; empty for all tests."""
    wanted = {(module, number) for number in _statement(source, line)}
    if wanted & reached[SHARED].lines:
        return []
    found = [test for test, reach in reached.items() if wanted & reach.lines]
    return sorted(found, key=lambda test: reached[test].seconds)


def _statement(source: str, line: int) -> range:
    """The lines of the innermost statement that has this one; of a block, those of its head."""
    around = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    around = [node for node in around if node.lineno <= line <= (node.end_lineno or line)]
    if not around:
        return range(line, line + 1)
    inner = max(around, key=lambda node: node.lineno)
    body = getattr(inner, "body", None)
    return range(inner.lineno, body[0].lineno if body else (inner.end_lineno or line) + 1)


class Watch:
    """A plugin for pytest that notes what each test reaches, in a JSON file."""

    def __init__(self, copy: Path, file: Path) -> None:
        self._copy, self._file = f"{copy}/", file
        self._lines: set[tuple[str, int]] = set()
        self._shared: set[tuple[str, int]] = set()
        self._reached: dict[str, Any] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        self._lines = set()
        started = time.monotonic()
        sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self._reached[item.nodeid] = [time.monotonic() - started, sorted(self._lines)]

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[Any]:
        if fixturedef.scope == "function":
            return (yield)
        own, self._lines = self._lines, self._shared
        try:
            return (yield)
        finally:
            self._lines = own

    def pytest_sessionfinish(self) -> None:
        self._reached[SHARED] = [0, sorted(self._shared)]
        self._file.write_text(json.dumps(self._reached), encoding="utf-8")

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename
        function = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # not the body of a module or class
        if not function or not name.startswith(self._copy):
            return None
        self._lines.add((name.removeprefix(self._copy), frame.f_lineno))
        return self._trace


def read_reached(file: Path) -> dict[str, Reached]:
    """What `Watch` wrote."""
    noted = json.loads(file.read_text(encoding="utf-8"))
    return {test: Reached(took, set(map(tuple, lines))) for test, (took, lines) in noted.items()}


class Only:
    """A plugin for pytest that keeps these tests, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self._place = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        kept = [item for item in items if item.nodeid in self._place]
        items[:] = sorted(kept, key=lambda item: self._place[item.nodeid])
