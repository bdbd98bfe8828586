"""NikosEfth/freedom: domain conversion on its four datasets."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import clip
import create_features
import open_clip
import run_retrieval
import torch
import utils_retrieval

from golden.authors.exact import Encoders, compose, show, transform
from golden.vectors import LENGTH

ROOT = Path(sys.argv[1]) / "freedom"
DATASETS = {"imagenet_r": "imagenet-r", "nico": "nico", "minidn": "minidn", "ltll": "ltll"}
NAMES = {"mAP": "map", "R@": "recall@", "P@": "precision@"}


class Clip(Encoders):
    """Whose texts are never looked at."""

    context_length = 77

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(tokens), 1)


def tokenizer(texts: list[str], context_length: int = 77) -> torch.Tensor:
    return clip.tokenize(texts)


def ranked(
    args: object, model: object, tokens: object, images: torch.Tensor, texts: object, *more: object
) -> torch.Tensor:
    """In the place of their methods: by composed queries."""
    domains, database = more
    asked = clip.tokenize([f"a photo of $ that {domain}" for domain in domains])
    queries = compose(asked, (images * LENGTH).round())
    return torch.argsort(queries @ (database * LENGTH).t(), descending=True)


def exact(rankings: torch.Tensor, target: str, classes: list[str], *more: object) -> tuple:
    """Their metrics of one source and target, before they are rounded."""
    metrics, precisions = utils_retrieval.metrics_calc(rankings, target, classes, *more)
    mean = 100 * float(sum(precisions) / len(precisions))
    return {**metrics, "mAP": mean, "queries": len(classes)}, precisions


def parts(tables: dict[str, dict[str, float]]) -> dict[str, dict]:
    """Of "source-->target" tables: a source's figures are the mean of its targets'."""
    sources = defaultdict(list)
    for pair, table in tables.items():
        sources[pair.partition("-->")[0]].append(table)
    return {
        source: {
            "queries": sum(table["queries"] for table in own),
            "means": {
                new + key.removeprefix(old): sum(table[key] for table in own) / len(own) / 100
                for key in own[0]
                for old, new in NAMES.items()
                if key.startswith(old)
            },
        }
        for source, own in sources.items()
    }


tables: dict[str, dict[str, float]] = {}
utils_retrieval.round = lambda value, digits: value
run_retrieval.calculate_rankings = ranked
run_retrieval.metrics_calc = exact
run_retrieval.dict_to_csv = lambda metrics, path, name: tables.update(metrics)
open_clip.create_model_from_pretrained = lambda *names: (Clip(), transform)
open_clip.get_tokenizer = lambda name: tokenizer
figures = {}
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "data").symlink_to(ROOT)
    os.chdir(folder)
    for dataset, name in DATASETS.items():
        tables.clear()
        sys.argv = ["", "--dataset", dataset]
        create_features.main()
        run_retrieval.main()
        figures[f"freedom-{name}"] = parts(tables)
    os.chdir(ROOT)
show({"figures": figures})
