"""google-research/composed_image_retrieval: COCO object composition and ImageNet-R."""

# ruff: noqa: E402

from __future__ import annotations

import ast
import re
import sys
from argparse import Namespace
from pathlib import Path

import torch

from golden.authors.exact import Encoders, show, transform, whole, without
from golden.vectors import digest

without("braceexpand", "pyarrow", "wandb", "webdataset")

import data
import eval_utils

root = Path(sys.argv[1])
options = Namespace(gpu=None, distributed=False, dp=False, rank=0)
found: list[dict[str, float]] = []


def recorded(name: str) -> None:
    """Keep what a metric returns: the scripts log four digits, and return the last of four."""
    own = getattr(eval_utils, name)

    def metric(**given: object) -> dict[str, float]:
        found.append({key: float(value) for key, value in own(**given).items()})
        return found[-1]

    setattr(eval_utils, name, metric)


recorded("get_metrics_coco")
recorded("get_metrics_imgnet")


def batches(dataset: torch.utils.data.Dataset) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(dataset, batch_size=32)


def coco() -> dict:
    (root / "coco").symlink_to(root / "coco-composition")  # the name that they give the folder
    rows = data.CsvCOCO(transform, transform, root=str(root))
    found.clear()
    eval_utils.evaluate_coco(Encoders(), torch.nn.Identity(), options, batches(rows))
    composed = {k: v for k, v in found[0].items() if k.startswith("ref_to_image_R@")}
    names = [key.replace("ref_to_image_R@", "recall@") for key in composed]
    counts = dict(zip(names, whole(list(composed.values()), len(rows)), strict=True))
    return {"": {"queries": len(rows), "counts": counts}}


def crops() -> list[list[str]]:
    """Of each row's query, and of the whole picture: sizes and digests."""
    seen = data.CsvCOCO(described, described, root=str(root))
    return [[seen[row][1], seen[row][0]] for row in range(len(seen))]


def described(picture: object) -> str:
    return f"{picture.width}x{picture.height} {digest(picture).hex()[:8]}"


def imagenet() -> dict:
    base = root / "imagenet-r"
    lists = [
        data.ImageList(base / "imgnet" / name, transform, root=str(base), is_labels=True)
        for name in ("imgnet_real_query.txt", "imgnet_targets.txt")
    ]
    script = (Path(data.__file__).parent / "eval_retrieval.py").read_text()
    domains = ast.literal_eval(re.search(r"domains = (\[.*?\])", script).group(1))
    prompts = [f"a {domain} of *" for domain in domains]
    found.clear()
    loaders = map(batches, lists)
    eval_utils.evaluate_imgnet_retrieval(
        Encoders(), torch.nn.Identity(), options, prompts, *loaders
    )
    names = {"Real2Sketch_R@": "recall@", "Real2Sketch_P@": "precision@"}
    parts = {}
    for domain, metrics in zip(domains, found[::4], strict=True):
        means = {
            ours + key.removeprefix(theirs): value
            for theirs, ours in names.items()
            for key, value in metrics.items()
            if key.startswith(theirs)
        }
        parts[domain] = {"queries": len(lists[0]), "means": means}
    return parts


show(
    {
        "figures": {"coco-composition": coco(), "imagenet-r": imagenet()},
        "pictures": {"coco-composition": crops()},
    }
)
