"""python -m tests.mutation [AREA ...] [--count N] [--seed N]: draws changes, runs tests, tells.

Changes are drawn at random from all that cosmic-ray's operators can make of an area's modules, by
seed. Each is tried in a copy of the code, in a process forked after the heavy libraries were
imported; an area's tests decide. Results go into tests/mutation/results.json, survivors with their
diff, and the table into tests/mutation/README.md. What `equivalent.json` argues to change nothing
that can be observed counts as neither killed nor alive.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import click
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.mutation.areas import AREAS, OPERATORS, ROOT, Area
from tests.mutation.report import RESULTS, write_table

PATIENCE = 4.0
"""A change may make an area's tests so many times slower before it counts as noticed."""
GRACE = 30.0
"""Seconds beside that."""
Change = tuple[Path, str, int]


@click.command()
@click.argument("areas", nargs=-1, type=click.Choice(list(AREAS)))
@click.option("--count", default=30, show_default=True, help="Changes of each area.")
@click.option("--seed", default=0, show_default=True, help="Decides which changes are drawn.")
def main(areas: tuple[str, ...], count: int, seed: int) -> None:
    """Try changes and tell which lived."""
    _warm_up()
    for name in areas or AREAS:
        results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        with tempfile.TemporaryDirectory() as folder:
            results[name] = _try_area(name, count, seed, Path(folder))
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        write_table(results)


def _try_area(name: str, count: int, seed: int, copy: Path) -> dict[str, object]:
    area = AREAS[name]
    shutil.copytree(ROOT / "rtd_adapters", copy / "rtd_adapters", ignore=_no_caches)
    shutil.copytree(ROOT / "plugins", copy / "rtd_plugins", ignore=_no_caches)
    started = time.monotonic()
    if _run(area, copy, timeout=3600) != 0:
        raise click.ClickException(f"{name}: the tests fail without any change.")
    timeout = PATIENCE * (time.monotonic() - started) + GRACE
    changes = sorted(_all_changes(area))
    drawn = random.Random(f"{name} {seed}").sample(changes, min(count, len(changes)))
    lived = []
    for number, change in enumerate(drawn, start=1):
        diff = _try_change(area, copy, change, timeout)
        click.echo(f"{name} {number}/{len(drawn)} {change[0]} {'LIVED' if diff else 'died'}")
        if diff:
            lived.append(diff)
    return {"seed": seed, "possible": len(changes), "tried": len(drawn), "lived": lived}


def _all_changes(area: Area) -> Iterator[Change]:
    for module in area.modules():
        nodes = list(ast_nodes(get_ast((ROOT / module).read_text(encoding="utf-8"))))
        for name in OPERATORS:
            operator = get_operator(name)()
            places = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            yield from ((module, name, place) for place in range(places))


def _try_change(area: Area, copy: Path, change: Change, timeout: float) -> str:
    """The change as a diff where the tests did not notice it, and nothing where they did."""
    module, name, place = change
    before = (ROOT / module).read_text(encoding="utf-8")
    after = mutate_code(before, get_operator(name)(), place)
    if after is None or after == before:
        return ""
    inside = copy / ("rtd_plugins" if module.parts[0] == "plugins" else module.parts[0])
    file = inside.joinpath(*module.parts[1:])
    file.write_text(after, encoding="utf-8")
    try:
        lived = _run(area, copy, timeout) == 0
    finally:
        file.write_text(before, encoding="utf-8")
    lines = unified_diff(before.splitlines(), after.splitlines(), str(module), str(module), n=0)
    return "\n".join([str(module), *list(lines)[3:]]) if lived else ""


def _run(area: Area, copy: Path, timeout: float) -> int:
    """An area's tests against the copy: 0 where all passed, -1 where they took too long."""
    child = os.fork()
    if child == 0:
        os.setsid()
        _become_tests(area, copy)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, 9)
    os.waitpid(child, 0)
    return -1


def _become_tests(area: Area, copy: Path) -> None:
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
        tests = [str(ROOT / path) for path in area.tests if (ROOT / path).exists()]
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
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
