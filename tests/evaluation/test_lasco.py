"""LaSCo, read and searched by plain loops over its own files."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from rtd_adapters import EvalOptions, evaluate, get_method, load_backbone, load_projection
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.benchmark import load_benchmark

CUTOFFS = (1, 5, 10, 50, 100)
QUIET = EvalOptions(quiet=True, cache=False, device="cpu")


@pytest.fixture(scope="module")
def ranks(miniature_clip, benchmark_folder):
    """Of every query's target, in double precision, over the whole list, the reference included."""
    root, method = benchmark_folder("lasco"), get_method("searle")
    backbone = load_backbone(miniature_clip["backbone"], miniature_clip["pretrained"])
    projection, _ = load_projection(method, backbone, miniature_clip["projection"])
    model, transform = backbone.images()
    found = []
    with torch.no_grad():

        def seen(path):
            picture = Image.open(root / path).convert("RGB")
            return model.encode_image(transform(picture)[None])[0]

        def unit(vector):
            values = [float(value) for value in vector]
            length = sum(value * value for value in values) ** 0.5
            return [value / length for value in values]

        corpus = json.loads((root / "lasco_val_corpus.json").read_text())
        gallery = {row["id"]: unit(seen(row["path"].removeprefix("val/"))) for row in corpus}
        for entry in json.loads((root / "lasco_val.json").read_text()):
            pseudo = projection(seen(entry["query-image"][1])[None])
            ids = method.tokenizer(backbone.tower).encode(
                [f"a photo of $ that {entry['query-text']}"]
            )
            asked = unit(backbone.tower(ids, pseudo, 259)[0])
            scores = {
                image: sum(a * b for a, b in zip(asked, vector, strict=True))
                for image, vector in gallery.items()
            }
            order = sorted(scores, key=lambda image: -scores[image])
            found.append(1 + order.index(entry["target-image"][0]))
    return found


def test_figures_are_those_of_a_plain_loop(ranks, miniature_clip, benchmark_folder):
    root = benchmark_folder("lasco")
    result = evaluate("searle", "lasco", data=root, options=QUIET, **miniature_clip)
    assert [query.base_rank for query in result.queries] == ranks
    shares = {f"recall@{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in CUTOFFS}
    assert result.base == pytest.approx({name: 100 * share for name, share in shares.items()})
    assert len(set(result.base.values())) > 2
    assert result.settings["reference"] == "stays in the gallery"


def test_every_query_has_a_name_of_its_own(benchmark_folder):
    """Two in a row are made of one question in the miniature."""
    root = benchmark_folder("lasco")
    (part,) = load_benchmark("lasco", root).parts
    asked = [entry["qid"] for entry in json.loads((root / "lasco_val.json").read_text())]
    assert [query.id.partition("-")[2] for query in part.queries] == list(map(str, asked))
    assert len({query.id for query in part.queries}) == len(asked)


def test_there_is_no_test_split(benchmark_folder):
    with pytest.raises(UsageError, match="lasco has no split 'test' here; use val"):
        load_benchmark("lasco", benchmark_folder("lasco"), "test")
