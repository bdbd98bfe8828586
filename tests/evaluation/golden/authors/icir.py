"""billpsomas/icir: each instance's queries over its own database, and their mAP."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import clip
import run_retrieval
import torch
import utils_features
from PIL import Image

from golden.authors.exact import compose, show
from golden.vectors import image_vector

root = Path(sys.argv[1]) / "icir"


def vectors(dataset: utils_features.icir_dataset) -> torch.Tensor:
    opened = (Image.open(root / path) for path in dataset.images)
    return torch.tensor([image_vector(picture) for picture in opened], dtype=torch.float64)


def side(name: str) -> dict:
    """Queries or database, as their own code hands them on."""
    path = root / "icir" / f"{name}_files.csv"
    rows = utils_features.icir_dataset(path, None, root=str(root))
    about = {"paths": rows.images, "instances": rows.instance, "texts": rows.text}
    return {"image_feats": vectors(rows), **about}


query, database = side("query"), side("database")
tokens = clip.tokenize([f"a photo of $ that {text}" for text in query["texts"]])
query["text_feats"] = compose(tokens, query["image_feats"])  # which their "text" ranks by
precisions: list[float] = []
for instance in sorted(set(query["instances"])):
    sides = {"query": query, "database": database}
    done = run_retrieval.process_instance(instance, sides, Namespace(method="text"))
    precisions += done["APs"]
means = {"map": float(sum(precisions) / len(precisions))}
show({"figures": {"icir": {"": {"queries": len(precisions), "means": means}}}})
