"""The field's benchmarks, one module each, registered as anybody else's are."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rtd_adapters.evaluation.benchmark import Benchmark, BenchmarkSource
from rtd_adapters.hooks.specs import hookimpl

SERVED = ("val", "test")
GENECIS = ("focus-attribute", "change-attribute", "focus-object", "change-object")
CONVERSIONS = {
    "imagenet-r": "ImageNet-R, in a style",
    "nico": "NICO++, in a context",
    "minidn": "Mini-DomainNet, in a style",
    "ltll": "LTLL, places today and long ago",
}


@hookimpl
def register_benchmarks(register: Callable[[BenchmarkSource], None]) -> None:
    """Add the built-in ones."""
    register(BenchmarkSource("cirr", "CIRR: real pictures, one target each", _in("cirr"), SERVED))
    register(BenchmarkSource("circo", "CIRCO: COCO, several targets", _in("circo"), SERVED))
    register(BenchmarkSource("fashioniq", "FashionIQ: dress, shirt, toptee", _in("fashioniq")))
    for task in GENECIS:
        summary = f"GeneCIS: {task.replace('-', ' ')}, a small gallery for each query"
        register(BenchmarkSource(f"genecis-{task}", summary, _in("genecis")))
    register(BenchmarkSource("coco-composition", "COCO: an object and its scene", _in("coco")))
    register(BenchmarkSource("imagenet-r", "ImageNet-R: the same in a style", _in("imagenet_r")))
    for dataset, what in CONVERSIONS.items():
        register(BenchmarkSource(f"freedom-{dataset}", f"FREEDOM: {what}", _in("freedom")))
    register(BenchmarkSource("icir", "i-CIR: one object among its look-alikes", _in("icir")))
    register(BenchmarkSource("patterncom", "PatternCom: places from above", _in("patterncom")))
    for dataset in ("COCO", "Flickr30k"):
        summary = f"{dataset}: plain captions to pictures, Karpathy's test split"
        register(BenchmarkSource(f"{dataset.lower()}-captions", summary, _in("karpathy")))


def _in(module: str) -> Callable[[str, Path, str], Benchmark]:
    """The `load` of a module here, imported when it is called."""

    def load(name: str, root: Path, split: str) -> Benchmark:
        benchmark: Benchmark = import_module(f"{__name__}.{module}").load(name, root, split)
        return benchmark

    return load
