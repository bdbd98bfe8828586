"""python -m tests.mutation [AREA ...] [--count N] [--seed N]: draws changes, runs tests, tells.

Changes are drawn at random from all that cosmic-ray's operators can make of an area's modules, by
seed. Each is tried in a copy of the code, in a process forked after the heavy libraries were
imported. Those of an area's tests that reach the changed line decide. Results go into
tests/mutation/results.json by area and seed, survivors with their diff, and the table into
tests/mutation/README.md. `--again` tries only what lived with that seed. What `equivalent.json`
argues to change nothing that can be observed counts as neither killed nor alive.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path

import click
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.mutation.areas import AREAS, OPERATORS, ROOT, Area
from tests.mutation.reach import Only, Reached, Watch, nearest, read_reached
from tests.mutation.report import RESULTS, write_table

PATIENCE = 90
"""Seconds that one test may take before it counts as hanging, which is to notice."""
IDLE = re.compile(r"frozen=True|^if TYPE_CHECKING|[(,] ?\*,|^ +\*,$")
"""Lines that mypy judges: frozen classes, imports for annotations, stars before keyword-only."""
Change = tuple[Path, str, int]


@click.command()
@click.argument("areas", nargs=-1, type=click.Choice(list(AREAS)))
@click.option("--count", default=30, show_default=True, help="Changes of each area.")
@click.option("--seed", default=0, show_default=True, help="Decides which changes are drawn.")
@click.option("--again", is_flag=True, help="Try only what lived with this seed.")
def main(areas: tuple[str, ...], count: int, seed: int, again: bool) -> None:
    """Try changes and tell which lived."""
    _warm_up()
    for name in areas or AREAS:
        results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        of_area = results.setdefault(name, {"possible": 0, "seeds": {}})
        possible = sorted(_all_changes(AREAS[name]))
        of_area["possible"] = len(possible)
        if again:
            tried = of_area["seeds"][str(seed)]["tried"]
            drawn = _those_with(of_area["seeds"][str(seed)]["lived"], possible)
        else:
            tried = min(count, len(possible))
            drawn = random.Random(f"{name} {seed}").sample(possible, tried)
        of_area["seeds"][str(seed)] = {"tried": tried, "lived": list(_survivors(name, drawn))}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        write_table(results)


def _survivors(name: str, changes: list[Change]) -> Iterator[str]:
    """The diffs of those changes that an area's tests did not notice."""
    area = AREAS[name]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "rtd_adapters", copy / "rtd_adapters", ignore=_no_caches)
        shutil.copytree(ROOT / "plugins", copy / "rtd_plugins", ignore=_no_caches)
        noted = copy / "reached.json"
        if not _passes(area, copy, [], Watch(copy, noted)):
            raise click.ClickException(f"{name}: the tests fail without any change.")
        reached = read_reached(noted)
        for number, change in enumerate(changes, start=1):
            lived = _try_change(area, copy, change, reached)
            end = f"LIVED\n{_diff(change)}" if lived else "died"
            click.echo(f"{name} {number}/{len(changes)} {change[0]} {end}")
            if lived:
                yield _diff(change)


def _all_changes(area: Area) -> Iterator[Change]:
    for module in area.modules():
        text = (ROOT / module).read_text(encoding="utf-8")
        nodes, lines = list(ast_nodes(get_ast(text))), text.splitlines()
        for name in OPERATORS:
            operator = get_operator(name)()
            starts = [at[0] for node in nodes for at in operator.mutation_positions(node)]
            for place, (row, _) in enumerate(starts):
                if not IDLE.search(lines[row - 1]):
                    yield module, name, place


def _those_with(diffs: list[str], changes: Iterable[Change]) -> list[Change]:
    modules = {diff.partition("\n")[0] for diff in diffs}
    near = [change for change in changes if str(change[0]) in modules]
    return list({diff: change for change in near if (diff := _diff(change)) in diffs}.values())


def _changed(change: Change) -> tuple[str, str]:
    """A module's text, and what the change makes of it."""
    module, name, place = change
    before = (ROOT / module).read_text(encoding="utf-8")
    return before, mutate_code(before, get_operator(name)(), place) or before


def _diff(change: Change) -> str:
    """A module's name and the lines that a change removes and adds."""
    before, after = _changed(change)
    lines = unified_diff(before.splitlines(), after.splitlines(), n=0)
    return "\n".join([str(change[0]), *list(lines)[3:]])


def _try_change(area: Area, copy: Path, change: Change, reached: dict[str, Reached]) -> bool:
    """Whether it lived."""
    module = change[0]
    before, after = _changed(change)
    if after == before:
        return False
    place = str(module) if module.parts[0] != "plugins" else f"rtd_{module}"
    near = nearest(reached, place, before, _first_difference(before, after))
    file = copy / place
    file.write_text(after, encoding="utf-8")
    try:
        return _passes(area, copy, near)
    finally:
        file.write_text(before, encoding="utf-8")


def _first_difference(before: str, after: str) -> int:
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next(number for number, (old, new) in enumerate(pairs, start=1) if old != new)


def _passes(area: Area, copy: Path, near: list[str], *plugins: object) -> bool:
    """Whether an area's tests, or only those that are near, pass against the copy."""
    tests = list({name.partition("::")[0]: None for name in near}) or area.tests
    paths = [str(ROOT / path) for path in tests if (ROOT / path).exists()]
    child = os.fork()
    if child == 0:
        os.setsid()
        _become_tests(paths, copy, [_Limit(), *([Only(near)] if near else []), *plugins])
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what a test that was cut short had started
    return os.waitstatus_to_exitcode(status) == 0


class _Limit:
    """A plugin for pytest: a test that hangs ends the process."""

    def pytest_runtest_setup(self) -> None:
        signal.alarm(PATIENCE)


def _become_tests(tests: list[str], copy: Path, plugins: list[object]) -> None:
    """Run pytest in this (forked) process and end it."""
    import pytest

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    sys.path.insert(0, str(copy))
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    code = 1
    try:
        options = ["-x", "-q", "-p", "no:cacheprovider"]
        code = int(pytest.main([*options, *tests], plugins=plugins))
    finally:
        os._exit(code)


def _warm_up() -> None:
    """Import what takes seconds and is not ours, so that every forked process has it."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import accelerate  # noqa: F401
    import open_clip  # noqa: F401
    import peft  # noqa: F401
    import pytest  # noqa: F401
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)  # a forked process cannot use threads that were started before


def _no_caches(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]


if __name__ == "__main__":
    main()
