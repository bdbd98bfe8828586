"""The search by blocks against a plain stable sort of the whole gallery.

Vectors are such that every score is exact, so that a sum's order changes no bit and scores tie.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given, settings, strategies as st

from rtd_adapters.errors import EvaluationError
from rtd_adapters.evaluation import blocks
from rtd_adapters.evaluation.benchmark import EvalQuery
from rtd_adapters.evaluation.blocks import OUT, Question, count_ahead, search_blocks
from rtd_adapters.evaluation.search import Gallery, rankings, search_gallery

WIDTH = 4
UNITS = [(1, 0, 0, 0), (0, 0, -1, 0), (0.5, 0.5, -0.5, 0.5), (-0.5, 0.5, 0.5, 0.5)]


@dataclass
class Case:
    gallery: list[tuple[float, ...]]
    """Units, times a power of two."""
    queries: list[tuple[int, ...]]
    questions: list[Question]
    depth: int
    pictures: int
    """Of a block."""
    chunk: int
    """Queries at a time."""


@st.composite
def cases(draw) -> Case:
    size = draw(st.integers(1, 30))
    rows = st.sampled_from(UNITS), st.sampled_from((1, 2, 0.25))
    gallery = [
        tuple(factor * value for value in unit)
        for unit, factor in draw(st.lists(st.tuples(*rows), min_size=size, max_size=size))
    ]
    numbers = st.tuples(*[st.integers(-3, 3)] * WIDTH)
    queries = draw(st.lists(numbers, min_size=1, max_size=7))
    places = st.lists(st.integers(0, size - 1), unique=True, max_size=size)
    asked = st.builds(Question, wanted=places, excluded=places, candidates=places)
    questions = draw(st.lists(asked, min_size=len(queries), max_size=len(queries)))
    return Case(
        gallery,
        queries,
        questions,
        draw(st.integers(0, size)),
        draw(st.integers(1, size + 2)),
        draw(st.integers(1, len(queries) + 1)),
    )


def sorted_wholly(case: Case, row: int) -> tuple[list[int], int]:
    """The places of a gallery, best first, and how many of them the query may find."""
    question = case.questions[row]
    units = [[Fraction(v) / length(vector) for v in vector] for vector in case.gallery]
    query = case.queries[row]
    scores = [sum(a * b for a, b in zip(unit, query, strict=True)) for unit in units]
    found = [
        place not in question.excluded and (not question.candidates or place in question.candidates)
        for place in range(len(scores))
    ]
    order = sorted(
        range(len(scores)), key=lambda place: (not found[place], -scores[place] * found[place])
    )
    return order, sum(found)


def length(vector) -> Fraction:
    """Of a unit times a power of two: half the sum of four, or the only one."""
    absolute = [abs(Fraction(value)) for value in vector]
    return max(absolute) if sum(value > 0 for value in absolute) == 1 else sum(absolute) / 2


@settings(max_examples=400, deadline=None)
@given(cases())
def test_first_places_and_ranks_are_those_of_a_full_stable_sort(case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "PICTURES", case.pictures)
        patch.setattr(blocks, "QUERIES", case.chunk)
        queries = torch.tensor(case.queries, dtype=torch.float32)
        found = search_blocks(queries, torch.tensor(case.gallery), case.questions, case.depth)
    assert found.scores.shape == found.places.shape == (len(case.queries), case.depth)
    for row, question in enumerate(case.questions):
        order, inside = sorted_wholly(case, row)
        kept = min(inside, case.depth)
        assert found.places[row, :kept].tolist() == order[:kept]
        assert (found.scores[row, :kept] > OUT).all()
        assert (found.scores[row, kept:] == OUT).all()
        ranks = found.ranks[row, : len(question.wanted)].tolist()
        assert ranks == [1 + order.index(place) for place in question.wanted]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
@example([0, 0], None)
def test_counts_before_within_and_after_a_block(values, data):
    """Against plain counting, for an answer that stands anywhere, excluded ones included."""
    scores = torch.tensor([values], dtype=torch.float32)
    place = data.draw(st.integers(-3, len(values) + 3)) if data else 5
    wanted = float(data.draw(st.sampled_from([0, 1, 2, 3, OUT]))) if data else OUT
    if wanted == OUT:
        scores[0, 0] = OUT
    ahead = sum(
        value > wanted or (value == wanted and column < place)
        for column, value in enumerate(scores[0].tolist())
    )
    counted = count_ahead(scores, torch.tensor([wanted]), torch.tensor([place]))
    assert counted.tolist() == [ahead]


def test_no_score_of_a_pair_is_taken_from_two_shapes(monkeypatch):
    """Where a sum's last bit depends on a product's shape, ranks and first places still agree."""
    torch.manual_seed(0)
    gallery, queries = torch.randn(700, 96), torch.randn(90, 96)
    gallery[350:] = gallery[:350] * torch.rand(350, 1)  # scores that tie, but for the last bit
    wanted = torch.randint(0, 700, (90, 3)).tolist()
    monkeypatch.setattr(blocks, "PICTURES", 64)
    monkeypatch.setattr(blocks, "QUERIES", 32)
    found = search_blocks(queries, gallery, [Question(wanted=places) for places in wanted], 700)
    for order, places, ranks in zip(found.places, wanted, found.ranks, strict=True):
        assert [1 + order.tolist().index(place) for place in places] == ranks.tolist()


def test_a_memory_mapped_gallery_larger_than_memory():
    """400 MB of pictures in a process that may take 150 MB more than its imports."""
    pytest.importorskip("resource", reason="limits of memory are Unix's")
    done = subprocess.run([sys.executable, "-c", MAPPED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["99999", "3"]


MAPPED = """
import pathlib, resource, tempfile
import torch
from numpy.lib.format import open_memmap
from rtd_adapters.evaluation.blocks import Question, search_blocks

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "gallery.npy"
    file = open_memmap(path, mode="w+", dtype="float32", shape=(100_000, 1024))
    file[3], file[99_999] = 1, 1
    file[3, 0] = 0
    file.flush()
    gallery = torch.from_numpy(open_memmap(path, mode="c"))
    torch.ones(64, 64) @ torch.ones(64, 64)
    memory = pathlib.Path("/proc/self/status")
    if memory.exists():
        (taken,) = [line for line in memory.read_text().splitlines() if "VmData" in line]
        most = int(taken.split()[1]) * 1024 + 150_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    found = search_blocks(torch.ones(4, 1024), gallery, [Question(wanted=[5])] * 4, 2)
    print(*found.places[0].tolist())
"""


def test_a_gallery_of_halves_and_of_no_pictures():
    ids, scores = search_gallery(torch.eye(2), torch.eye(2).half(), ["a", "b"], 1)
    assert ids == [["a"], ["b"]]
    assert scores.dtype == torch.float32
    assert search_gallery(torch.eye(2), torch.empty(0, 2), [])[0] == [[], []]


GALLERY = Gallery(["a", "b", "c", "d"], torch.eye(4))


def ranking(depth: int = 4, **asked):
    query = EvalQuery("q", "a", ("",), **{"targets": ("b",), **asked})
    (found,) = rankings(torch.tensor([[0.5, 0.9, 0.5, 0.1]]), GALLERY, [query], depth)
    return found


def test_a_ranking_knows_its_first_places_and_its_querys_own_pictures():
    found = ranking(targets=("d", "elsewhere"), group=("c", "a"), excluded=("b",))
    assert found.top(2) == ["a", "c"]
    assert found.top(4) == ["a", "c", "d"]
    assert found.ranks(["d", "c", "elsewhere"]) == [2, 3]
    assert found.rank(["d", "a"]) == 1
    assert found.rank(["elsewhere"]) is None
    assert found.among(["d", "c", "a"]) == ["a", "c", "d"]


def test_a_score_that_asks_for_what_was_not_kept():
    with pytest.raises(EvaluationError, match=r"first 5 places, and 4 were kept. Set depth=5"):
        ranking().top(5)
    with pytest.raises(EvaluationError, match="'c' stands, which is no target"):
        ranking().among(["c"])
