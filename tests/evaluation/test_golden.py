"""Our loaders, search and metrics against what the benchmark authors' own code found.

golden/figures.json holds what theirs finds on the miniatures of golden/folders.py, ranking with the
made-up vectors of golden/vectors.py; golden/make.py ran it. LaSCo's authors publish none: its
figures are a third party's.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from golden.folders import WRITERS, fingerprint
from golden.vectors import WIDTH, digest, image_vector, query_vector
from torch import Tensor, nn

from rtd_adapters import get_method
from rtd_adapters.clip.text import CLIP_BPE, TextTower
from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part, load_benchmark
from rtd_adapters.evaluation.queries import QueryEmbedder, embed_plain
from rtd_adapters.evaluation.result import Outcome
from rtd_adapters.evaluation.search import CountedRanking, Gallery, rankings
from rtd_adapters.evaluation.submissions import write_submissions
from rtd_adapters.hooks.registry import registry

GOLDEN = json.loads((Path(__file__).parent / "golden/figures.json").read_text())
OURS = "custom"
"""The open format, which has no other authors."""
BENCHMARKS = [
    name for name, source in registry().benchmarks.items() if source.needs_data and name != OURS
]
PIC2WORD = ("coco-composition", "imagenet-r")
SMOOTHED = [name for name in BENCHMARKS if name.startswith(("freedom", "icir"))]
SMOOTHING = 1e-5
"""What Pic2Word, FREEDOM and i-CIR add to the number of right answers before they divide by it."""


class Tower:
    """In the place of a text tower: a query's vector, from its tokens and its pseudo token.

    A plain caption has none.
    """

    config = SimpleNamespace(context_length=77)
    device = torch.device("cpu")
    vocabulary = CLIP_BPE
    tokenizer = TextTower.tokenizer

    def __call__(
        self, ids: Tensor, pseudo: Tensor | None = None, placeholder_id: int | None = None
    ) -> Tensor:
        if pseudo is None:
            pseudo = torch.zeros(len(ids), 1, WIDTH, dtype=torch.int64)
        else:
            assert ((ids == placeholder_id).sum(1) == 1).all()
        pairs = zip(ids.tolist(), pseudo[:, 0].tolist(), strict=True)
        return torch.tensor([query_vector(*pair) for pair in pairs], dtype=torch.float32)


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """A benchmark, read from its miniature."""

    @cache
    def written(writer: str) -> Path:
        root = tmp_path_factory.mktemp(writer)
        WRITERS[writer](root)
        assert fingerprint(root) == GOLDEN["recipe"][writer], "the recipe changed: make it anew"
        return root

    def make(name: str, split: str = "val") -> Benchmark:
        writer = next(writer for writer in WRITERS if name.startswith(writer))
        return load_benchmark(name, written(writer), split)

    return make


def search(benchmark: Benchmark, part: Part) -> list[tuple[EvalQuery, CountedRanking]]:
    def vectors(images) -> Tensor:
        found = [image_vector(benchmark.open_image(image)) for image in images]
        return torch.tensor(found, dtype=torch.float32).reshape(-1, WIDTH)

    method = get_method("pic2word" if benchmark.name in PIC2WORD else "searle")
    if benchmark.composes:
        references = vectors([query.reference for query in part.queries])
        asked = QueryEmbedder(method, nn.Identity()).embed(Tower(), part.queries, references)
    else:
        asked = embed_plain(Tower(), method.tokenizer(Tower()), part.queries)
    gallery = Gallery(part.gallery, vectors(part.gallery))
    ranked = rankings(asked, gallery, part.queries, benchmark.depth)
    return list(zip(part.queries, ranked, strict=True))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_figure_is_the_authors_own(name, load):
    benchmark, theirs = load(name), GOLDEN["figures"][name]
    assert {part.name for part in benchmark.parts} == theirs.keys()
    for part in benchmark.parts:
        wanted = theirs[part.name]
        found = search(benchmark, part)
        assert len(found) == wanted["queries"]
        scores = [
            smoothed(name, query, benchmark.score(query, ranking)) for query, ranking in found
        ]
        ours = {metric: sum(score[metric] for score in scores) for metric in scores[0]}
        counts, means = wanted.get("counts", {}), wanted.get("means", {})
        assert ours.keys() == counts.keys() | means.keys()
        assert {metric: ours[metric] for metric in counts} == counts
        for metric, mean in means.items():
            assert ours[metric] / len(found) == pytest.approx(mean, abs=1e-9), (part.name, metric)


def smoothed(name: str, query: EvalQuery, score) -> dict[str, float]:
    """A query's figures as the authors smooth them."""

    def share(metric: str) -> float:
        answers = len(query.targets)
        if name.startswith("freedom") and metric.startswith("precision"):
            answers = min(answers, int(metric.partition("@")[2]))
        smooth = metric.startswith("recall") if name == "imagenet-r" else name in SMOOTHED
        return answers / (answers + SMOOTHING) if smooth else 1.0

    return {metric: value * share(metric) for metric, value in score.items()}


@pytest.mark.parametrize("name", GOLDEN["pictures"])
def test_every_picture_is_the_authors_own(name, load):
    """Sizes and pixels of the crops of COCO and GeneCIS, picture by picture."""
    benchmark = load(name)
    (part,) = benchmark.parts
    for query, wanted in zip(part.queries, GOLDEN["pictures"][name], strict=True):
        images = (query.reference, *(query.candidates or query.targets))
        assert [described(benchmark.open_image(image)) for image in images] == wanted


def described(picture) -> str:
    return f"{picture.width}x{picture.height} {digest(picture).hex()[:8]}"


@pytest.mark.parametrize("name", GOLDEN["submissions"])
def test_every_submission_is_the_authors_own(name, load, tmp_path):
    """CIRCO's ids are numbers in ours and strings in theirs; its server takes both."""
    benchmark = load(name, "test")
    (part,) = benchmark.parts
    found = [
        Outcome({}, None, ranking.top(50), ranking.among(query.group))
        for query, ranking in search(benchmark, part)
    ]
    files = write_submissions(name, part.queries, found, tmp_path)
    ours = {file.name: json.loads(file.read_text()) for file in files}
    theirs = GOLDEN["submissions"][name]
    if name == "circo":
        theirs = {
            file: {query: [int(image) for image in ids] for query, ids in content.items()}
            for file, content in theirs.items()
        }
    assert ours == theirs
