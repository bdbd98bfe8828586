"""facebookresearch/genecis: its four tasks, and the crops that its loaders make."""

# ruff: noqa: E402

from __future__ import annotations

import sys
import types
from pathlib import Path

import torch

from golden.authors.exact import Encoders, compose, show, transform, whole
from golden.vectors import digest

own = types.ModuleType("datasets")  # their folder, not the library of that name
own.__path__ = [f"{sys.argv[2]}/datasets"]
sys.modules["datasets"] = own

import clip
from datasets.coco_dataset import COCOValSubset
from datasets.vaw_dataset import VAWValSubset
from eval.eval_functions import validate

root = Path(sys.argv[1]) / "genecis"


class Composed(torch.nn.Module):
    """In the place of their combiner."""

    def forward(self, references: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return compose(tokens, references)


class Clip(Encoders):
    """Hands the tokens on to what composes."""

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens


def tokens(condition: str) -> torch.Tensor:
    return clip.tokenize(f"a photo of $ that {condition}")


def loaded(task: str, change: object) -> torch.utils.data.Dataset:
    path = root / "genecis" / f"{task}.json"
    if task.endswith("object"):
        return COCOValSubset(path, tokens, transform=change, root_dir=root / "coco/val2017")
    return VAWValSubset(path, tokens, transform=change, image_dir=root / "vg")


def evaluated(task: str) -> dict:
    data = loaded(task, transform)
    batches = torch.utils.data.DataLoader(data, batch_size=8)
    meters = validate(Clip(), Composed(), batches, topk=(1, 2, 3))
    counts = whole([float(meter.avg) for meter in meters.values()], len(data))
    named = {f"recall@{k}": count for k, count in zip(meters, counts, strict=True)}
    return {"": {"queries": len(data), "counts": named}}


def crops(task: str) -> list[list[str]]:
    """Of each entry's reference, target and gallery: sizes and digests."""
    data = loaded(task, None)
    found = []
    for row in range(len(data)):
        reference, _, pictures, _ = data[row]
        found.append([described(picture) for picture in (reference, *pictures)])
    return found


def described(picture: object) -> str:
    return f"{picture.width}x{picture.height} {digest(picture).hex()[:8]}"


tasks = ("focus_attribute", "change_attribute", "focus_object", "change_object")
names = {task: f"genecis-{task.replace('_', '-')}" for task in tasks}
show(
    {
        "figures": {name: evaluated(task) for task, name in names.items()},
        "pictures": {names[task]: crops(task) for task in tasks if task.endswith("attribute")},
    }
)
