"""fartashf/vsepp: captions to pictures, five captions a picture, on Karpathy's splits."""

# ruff: noqa: E402

from __future__ import annotations

import sys
import types
from pathlib import Path

import clip
import numpy as np
import torch
from PIL import Image

from golden.authors.exact import compose, show, whole, without
from golden.vectors import WIDTH, image_vector

without("nltk", "pycocotools", "tensorboard_logger")
coco = types.ModuleType("pycocotools.coco")
coco.COCO = object
sys.modules["pycocotools.coco"] = coco

import data
import evaluation

root = Path(sys.argv[1])
_argsort = np.argsort
np.argsort = lambda scores: _argsort(-scores, kind="stable")[::-1]  # they read it from its end


def found(name: str, file: str, folder: str) -> dict:
    """Their list of a split's captions, of each picture the first five, as they do for COCO."""
    base = root / name
    listed = data.FlickrDataset(str(base / folder), str(base / file), "test", None)
    asked = [(image, number) for image, number in listed.ids if number < 5]
    pictures, captions = [], []
    for image, number in asked:
        entry = listed.dataset[image]
        pictures.append(image_vector(Image.open(base / folder / entry["filename"])))
        captions.append(entry["sentences"][number]["raw"])
    queries = compose(clip.tokenize(captions), torch.zeros(len(captions), WIDTH)).numpy()
    shares = evaluation.t2i(np.array(pictures, dtype=float), queries, npts=len(asked) // 5)[:3]
    counts = whole([share / 100 for share in shares], len(asked))
    named = dict(zip(("recall@1", "recall@5", "recall@10"), counts, strict=True))
    return {"": {"queries": len(asked), "counts": named}}


show(
    {
        "figures": {
            "coco-captions": found("coco-captions", "dataset_coco.json", "val2014"),
            "flickr30k-captions": found(
                "flickr30k-captions", "dataset_flickr30k.json", "flickr30k-images"
            ),
        }
    }
)
