"""The table of what was tried and what lived."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
EQUIVALENT = HERE / "equivalent.json"
"""Diff of a change -> why nobody can observe it."""
TABLE = HERE / "README.md"
COLUMNS = (
    "area",
    "possible changes",
    "seeds",
    "tried",
    "died",
    "argued equivalent",
    "lived",
    "died, of those that matter",
)
HEAD = f"""\
# Do the tests have teeth?

Small changes to the code, drawn at random, and whether the area's own tests noticed. Written by

    pip install '.[mutation]'
    python -m tests.mutation --count 30

What lived with a seed is repaired and tried again (`--again`), so seeds that were looked at promise
too much. A fresh seed says how good the tests are.

| {" | ".join(COLUMNS)} |
{"|---" * len(COLUMNS)}|
"""


def write_table(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write README.md from the results of all areas."""
    argued = json.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.is_file() else {}
    rows, living = [], []
    for name, result in results.items():
        seeds = result["seeds"]
        all_lived = dict.fromkeys(diff for of in seeds.values() for diff in of["lived"])
        lived = [diff for diff in all_lived if diff not in argued]
        equal, tried = len(all_lived) - len(lived), sum(of["tried"] for of in seeds.values())
        died, matter = tried - len(all_lived), tried - equal
        rows.append(
            f"| {name} | {result['possible']:,} | {', '.join(seeds)} | {tried} | {died} "
            f"| {equal} | {len(lived)} | {100 * died / max(matter, 1):.0f} % |"
        )
        living += lived
    parts = [HEAD + "\n".join(rows) + "\n"]
    if argued:
        parts.append("\n## Argued equivalent\n")
        parts += [f"\n```diff\n{diff}\n```\n\n{why}\n" for diff, why in argued.items()]
    if living:
        parts.append("\n## Alive\n")
        parts += [f"\n```diff\n{diff}\n```\n" for diff in living]
    TABLE.write_text("".join(parts), encoding="utf-8")
