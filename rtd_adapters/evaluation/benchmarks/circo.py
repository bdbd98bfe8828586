"""CIRCO (Baldrati et al., ICCV 2023), with the layout of its own repository.

    annotations/{val,test}.json, COCO2017_unlabeled/annotations/image_info_unlabeled2017.json,
    COCO2017_unlabeled/unlabeled2017/*.jpg

Protocol: rank all unlabeled pictures of COCO 2017, the reference included. AP at K counts all right
answers, over min(how many there are, K); recall at K is of the annotated target alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    hits,
    image_at,
    read_json,
    required,
)
from rtd_adapters.evaluation.metrics import average_precision, recalls

CUTOFFS = (5, 10, 25, 50)
INFO = "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"
PICTURES = "COCO2017_unlabeled/unlabeled2017"


def load(name: str, root: Path, split: str) -> Benchmark:
    """220 queries of val, or 800 of test, whose targets the server keeps."""
    annotations, info, pictures = required(root, f"annotations/{split}.json", INFO, PICTURES)
    files = {str(image["id"]): image["file_name"] for image in read_json(info)["images"]}
    queries = tuple(_query(entry) for entry in read_json(annotations))
    return Benchmark(
        name,
        split,
        (Part("", tuple(files), queries),),
        lambda image: image_at(pictures / files[image]),
        _score,
        {"reference": "stays in the gallery", "shared_concept": "not in the prompt"},
        f"circo at {root.resolve()}",
    )


def _query(entry: Mapping) -> EvalQuery:
    target = entry.get("target_img_id")
    right = [target, *entry.get("gt_img_ids", ())] if target is not None else []
    return EvalQuery(
        str(entry["id"]),
        str(entry["reference_img_id"]),
        (entry["relative_caption"],),
        tuple(dict.fromkeys(map(str, right))),
    )


def _score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
    top = ranking.top(max(CUTOFFS))
    right = hits(query.targets, top)
    precision = {f"map@{k}": average_precision(right, len(query.targets), k) for k in CUTOFFS}
    return {**precision, **recalls("recall", hits(query.targets[:1], top), CUTOFFS)}
