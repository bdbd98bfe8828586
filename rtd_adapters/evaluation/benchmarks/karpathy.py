"""Caption to picture on COCO and Flickr30k, in the splits of Karpathy and Fei-Fei (CVPR 2015).

    dataset_coco.json and COCO's pictures at the paths that it names (val2014/*.jpg);
    dataset_flickr30k.json and flickr30k-images/*.jpg

Protocol: the first five captions of each picture of the test split search all of its pictures, word
for word, without a prompt; the caption's own picture is the only right answer; recall at 1, 5, 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtd_adapters.evaluation.annotations import inside, read_object
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    hits,
    image_at,
    required,
)
from rtd_adapters.evaluation.metrics import recalls
from rtd_adapters.io.entries import Entry

CUTOFFS = (1, 5, 10)
SPLIT = "test"
CAPTIONS = 5
FILES = {"coco-captions": "dataset_coco.json", "flickr30k-captions": "dataset_flickr30k.json"}
FLICKR = "flickr30k-images"
"""Folder of its pictures; COCO's file names a folder for each."""


def load(name: str, root: Path, split: str) -> Benchmark:
    """5,000 pictures of COCO or 1,000 of Flickr30k."""
    (annotations,) = required(root, FILES[name])
    images = read_object(annotations).entries("images")
    shown = [image for image in images if image.text("split") == SPLIT]
    files = {image.text("filename"): _file(root, image) for image in shown}
    return Benchmark(
        name,
        split,
        (Part("", tuple(i.text("filename") for i in shown), tuple(_queries(shown))),),
        lambda image: image_at(files[image]),
        _score,
        {"pictures": "Karpathy's test split", "prompt": "none, captions word for word"},
        f"{name} at {root.resolve()}",
        files.__getitem__,
    )


def _file(root: Path, image: Entry) -> Path:
    folder = image.text("filepath") if "filepath" in image else FLICKR
    return inside(root, f"{folder}/{image.text('filename')}", image.place)


def _queries(shown: list[Entry]) -> list[EvalQuery]:
    queries = []
    for image in shown:
        target, sentences = image.text("filename"), image.entries("sentences")
        if len(sentences) < CAPTIONS:
            image.refuse(f"'sentences' has {len(sentences)}, where {CAPTIONS} or more belong")
        for number, sentence in enumerate(sentences[:CAPTIONS]):
            caption = sentence.text("raw")
            queries.append(EvalQuery(f"{target}-{number}", "", (caption,), (target,)))
    return queries


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    return recalls("recall", hits(query.targets, ranking.top(max(CUTOFFS))), CUTOFFS)
