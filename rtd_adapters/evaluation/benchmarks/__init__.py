"""The field's benchmarks and one's own, a module each, registered as anybody else's are."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rtd_adapters.evaluation.benchmark import Benchmark, BenchmarkSource, PartSize
from rtd_adapters.hooks.specs import hookimpl

SERVED = ("val", "test")
GENECIS = ("focus-attribute", "change-attribute", "focus-object", "change-object")
CIRR = {"val": {"": PartSize(2297, 4181)}, "test": {"": PartSize(2315, 4148)}}
CIRCO = {"val": {"": PartSize(123_403, 220)}, "test": {"": PartSize(123_403, 800)}}
FASHIONIQ = {
    "val": {
        "dress": PartSize(3817, 2017),
        "shirt": PartSize(6346, 2038),
        "toptee": PartSize(5373, 1961),
    }
}
OBJECTS = {"val": {"": PartSize(None, 1960)}}
"""Of GeneCIS's tasks with objects; of those with attributes we know no size."""
STYLES = dict.fromkeys(("cartoon", "origami", "toy", "sculpture"), PartSize(16_983, 10_000))
CAPTIONED = {"COCO": PartSize(5000, 25_000), "Flickr30k": PartSize(1000, 5000)}
"""Karpathy's test splits, five captions a picture."""
LASCO = {"val": {"": PartSize(39_826, 30_037)}}
CONVERSIONS = {
    "imagenet-r": "ImageNet-R, in a style",
    "nico": "NICO++, in a context",
    "minidn": "Mini-DomainNet, in a style",
    "ltll": "LTLL, places today and long ago",
}


@hookimpl
def register_benchmarks(register: Callable[[BenchmarkSource], None]) -> None:
    """Add the built-in ones."""
    cirr, circo = "CIRR: real pictures, one target each", "CIRCO: COCO, several targets"
    register(BenchmarkSource("cirr", cirr, _in("cirr"), SERVED, sizes=CIRR))
    register(BenchmarkSource("circo", circo, _in("circo"), SERVED, sizes=CIRCO))
    fashion = "FashionIQ: dress, shirt, toptee"
    register(BenchmarkSource("fashioniq", fashion, _in("fashioniq"), sizes=FASHIONIQ))
    for task in GENECIS:
        summary = f"GeneCIS: {task.replace('-', ' ')}, a small gallery for each query"
        sizes = OBJECTS if task.endswith("object") else {}
        register(BenchmarkSource(f"genecis-{task}", summary, _in("genecis"), sizes=sizes))
    register(BenchmarkSource("coco-composition", "COCO: an object and its scene", _in("coco")))
    style = "ImageNet-R: the same in a style"
    register(BenchmarkSource("imagenet-r", style, _in("imagenet_r"), sizes={"val": STYLES}))
    register(BenchmarkSource("custom", "your own pictures and queries", _in("custom")))
    for dataset, what in CONVERSIONS.items():
        register(BenchmarkSource(f"freedom-{dataset}", f"FREEDOM: {what}", _in("freedom")))
    register(BenchmarkSource("icir", "i-CIR: one object among its look-alikes", _in("icir")))
    lasco = "LaSCo: COCO, texts made of questions"
    register(BenchmarkSource("lasco", lasco, _in("lasco"), sizes=LASCO))
    register(BenchmarkSource("patterncom", "PatternCom: places from above", _in("patterncom")))
    for dataset, size in CAPTIONED.items():
        summary = f"{dataset}: plain captions to pictures, Karpathy's test split"
        name, sizes = f"{dataset.lower()}-captions", {"val": {"": size}}
        register(BenchmarkSource(name, summary, _in("karpathy"), sizes=sizes))


def _in(module: str) -> Callable[[str, Path, str], Benchmark]:
    """The `load` of a module here, imported when it is called."""

    def load(name: str, root: Path, split: str) -> Benchmark:
        benchmark: Benchmark = import_module(f"{__name__}.{module}").load(name, root, split)
        return benchmark

    return load
