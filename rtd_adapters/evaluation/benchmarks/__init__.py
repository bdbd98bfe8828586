"""The field's benchmarks, one module each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.benchmark import Benchmark

BENCHMARKS = {
    "demo": "demo",
    "cirr": "cirr",
    "circo": "circo",
    "fashioniq": "fashioniq",
    "genecis-focus-attribute": "genecis",
    "genecis-change-attribute": "genecis",
    "genecis-focus-object": "genecis",
    "genecis-change-object": "genecis",
    "coco-composition": "coco",
    "imagenet-r": "imagenet_r",
}


def load_benchmark(name: str, root: Path | None = None, split: str = "val") -> Benchmark:
    """Read a benchmark's annotations and check that its files are there.

    Args:
        name: one of `BENCHMARKS`.
        root: the folder in which it was unpacked; none for the built-in world.
        split: `val`, or `test` where a server keeps the answers (cirr, circo).

    Raises:
        UsageError: there is no such benchmark or split, or no folder was named.
        FileError: files are missing or damaged.
    """
    if name not in BENCHMARKS:
        raise UsageError(f"Unknown benchmark {name!r}. Use one of {', '.join(BENCHMARKS)}.")
    if root is None and name != "demo":
        raise UsageError(f"{name} needs --data: the folder in which it was unpacked.")
    module = import_module(f"rtd_adapters.evaluation.benchmarks.{BENCHMARKS[name]}")
    load: Callable[[str, Path | None, str], Benchmark] = module.load
    return load(name, root, split)


def only_val(name: str, split: str) -> None:
    """Refuse other splits than `val`.

    Raises:
        UsageError: it is another.
    """
    if split != "val":
        raise UsageError(f"{name} has no split {split!r} here; use val.")
