"""Every benchmark's annotations, given anything: read, or refused in a sentence of its own."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from rtd_adapters.errors import RtdError
from rtd_adapters.evaluation.benchmark import load_benchmark
from tests.fuzz.damage import damaged, reshaped, written

FILES = {
    "cirr": ("cirr/captions/cap.rc2.val.json", "cirr/image_splits/split.rc2.val.json"),
    "circo": (
        "annotations/val.json",
        "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json",
    ),
    "fashioniq": ("captions/cap.dress.val.json", "image_splits/split.dress.val.json"),
    "genecis-change-attribute": ("genecis/change_attribute.json",),
    "genecis-focus-object": ("genecis/focus_object.json",),
    "coco-composition": ("coco_eval.csv",),
    "imagenet-r": ("imgnet/imgnet_real_query.txt", "imgnet/imgnet_targets.txt"),
    "custom": ("queries.csv",),
    "coco-captions": ("dataset_coco.json",),
    "icir": ("icir/query_files.csv", "icir/database_files.csv"),
    "freedom-nico": ("nico/query_files.csv", "nico/database_files.csv"),
    "patterncom": ("patternnet.csv", "PatternCom/shape.csv"),
    "lasco": ("lasco_val.json", "lasco_val_corpus.json"),
}
KEPT = 6
"""Entries of a list that are damaged, so that much of the damage is to fields."""


@pytest.mark.parametrize(("name", "file"), [(n, f) for n, files in FILES.items() for f in files])
@given(data=st.data())
def test_annotations(name, file, data, benchmark_folder, tmp_path):
    root = tmp_path / name
    if not root.exists():
        shutil.copytree(benchmark_folder(name), root)
    whole = (benchmark_folder(name) / file).read_bytes()
    damage = damaged(whole) | reshaped_json(whole) if file.endswith("json") else damaged(whole)
    (root / file).write_bytes(data.draw(damage))
    with suppress(RtdError):
        benchmark = load_benchmark(name, root)
        for part in benchmark.parts:
            for query in part.queries[:KEPT]:
                for image in filter(None, (query.reference, *query.targets[:1])):
                    benchmark.image_file(image)
                    with suppress(RtdError):
                        benchmark.open_image(image)


def reshaped_json(whole: bytes) -> st.SearchStrategy[bytes]:
    """The first entries of a file, one or two of their parts replaced; the others as they are."""
    value = json.loads(whole)
    if not isinstance(value, list):
        return reshaped(value).map(written)
    return reshaped(value[:KEPT]).map(
        lambda first: written([*first, *value[KEPT:]] if isinstance(first, list) else first)
    )
