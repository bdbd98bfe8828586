"""CIRCO (Baldrati et al., ICCV 2023), with the layout of its own repository.

    annotations/{val,test}.json, COCO2017_unlabeled/annotations/image_info_unlabeled2017.json,
    COCO2017_unlabeled/unlabeled2017/*.jpg

Protocol: rank all unlabeled pictures of COCO 2017, the reference included. AP at K counts all right
answers, over min(how many there are, K); recall at K is of the annotated target alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtd_adapters.evaluation.annotations import inside, read_entries, read_object, require_known
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    hits,
    image_at,
    required,
)
from rtd_adapters.evaluation.metrics import average_precision, recalls
from rtd_adapters.io.entries import Entry

CUTOFFS = (5, 10, 25, 50)
INFO = "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"
PICTURES = "COCO2017_unlabeled/unlabeled2017"


def load(name: str, root: Path, split: str) -> Benchmark:
    """220 queries of val, or 800 of test, whose targets the server keeps."""
    annotations, info, pictures = required(root, f"annotations/{split}.json", INFO, PICTURES)
    images = read_object(info).entries("images")
    names = [image.identity("id") for image in images]
    queries = tuple(_query(entry, hidden=split == "test") for entry in read_entries(annotations))
    references = (query.reference for query in queries)
    require_known(references, names, f"{info} lacks references of {annotations}:")
    files = {
        image.identity("id"): inside(pictures, image.text("file_name"), image.place)
        for image in images
    }
    return Benchmark(
        name,
        split,
        (Part("", tuple(names), queries),),
        lambda image: image_at(files[image]),
        _score,
        {"reference": "stays in the gallery", "shared_concept": "not in the prompt"},
        f"circo at {root.resolve()}",
        files.__getitem__,
    )


def _query(entry: Entry, *, hidden: bool) -> EvalQuery:
    right = () if hidden else (entry.identity("target_img_id"), *entry.identities("gt_img_ids"))
    return EvalQuery(
        entry.identity("id"),
        entry.identity("reference_img_id"),
        (entry.text("relative_caption"),),
        tuple(dict.fromkeys(right)),
    )


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    top = ranking.top(max(CUTOFFS))
    right = hits(query.targets, top)
    precision = {f"map@{k}": average_precision(right, len(query.targets), k) for k in CUTOFFS}
    return {**precision, **recalls("recall", hits(query.targets[:1], top), CUTOFFS)}
