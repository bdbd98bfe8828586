"""Which words stand together, against counting with plain dictionaries."""

from __future__ import annotations

import random
from collections import Counter
from itertools import permutations
from math import exp, isclose, log

import pytest

from rtd_adapters.triplets.language import company as module
from rtd_adapters.triplets.language.company import EDGE, Company
from rtd_adapters.triplets.language.tokens import UNSAID

WORDS = """a an the his red old two wooden dog dogs cat box table man men sitting on and with
glimmering zorp frobs , .""".split()  # noqa: SIM905


def plainly(sentences):
    """Counts by definition: what stands before a word is each modifier back to the first other
    word, that word or the edge, articles and possessives unsaid; signs are edges."""
    seen, together, beside = Counter(), Counter(), Counter()
    for sentence in sentences:
        seen.update({t.term for t in sentence if t.is_word})
        together.update(permutations({t.term for t in sentence if t.is_content}, 2))
        said = [t for t in sentence if t.text not in UNSAID]
        for place, token in enumerate([*said, None]):
            before = set()
            for other in reversed(said[:place]):
                before.add(other.term if other.is_word else EDGE)
                if not other.is_modifier:
                    break
            else:
                before.add(EDGE)
            name = token.term if token and token.is_word else EDGE
            beside.update((word, name) for word in before if (word, name) != (EDGE, EDGE))
    return seen, together, beside


@pytest.fixture(scope="module")
def sentences(read):
    draw = random.Random(0)
    return [read(" ".join(draw.choices(WORDS, k=draw.randint(0, 12)))) for _ in range(400)]


@pytest.fixture(params=[1 << 18, 7, 0])
def counted(request, monkeypatch, kinds, sentences):
    monkeypatch.setattr(module, "HELD", request.param)
    half = len(sentences) // 2
    return Company(kinds).count(sentences[:half]).count(iter(sentences[half:]))


def test_counts_are_those_of_dictionaries(counted, sentences):
    seen, together, beside = plainly(sentences)
    assert counted.captions == len(sentences) == 400
    names = {EDGE, *seen}
    assert len(seen) > 15
    assert {w: counted.seen(w) for w in seen} == seen
    for one in names:
        for other in names:
            if EDGE not in (one, other) and one != other:
                assert counted.together(one, other) == together[one, other]
            if (one, other) != (EDGE, EDGE):
                assert counted.beside(one, other) == beside[one, other], (one, other)
    assert beside["wooden", "box"] and beside["sitting", EDGE]
    assert counted.seen("never") == counted.together("never", "dog") == 0
    assert counted.beside("dog", "never") == 0


def test_lifts_are_smoothed_logarithms(counted, sentences):
    seen, together, beside = plainly(sentences)
    for one, other in permutations(sorted(seen), 2):
        expected = seen[one] * seen[other] / 400 + 0.5
        near = log((together[one, other] + 0.5) / expected)
        assert isclose(counted.affinity(one, other), near, abs_tol=1e-9)
        right = log((beside[one, other] + 0.5) / expected)
        assert isclose(counted.attraction(one, other), right, abs_tol=1e-9)
    assert counted.affinity("dog", "never") == counted.attraction("never", "dog") == 0


def test_the_docstrings_example(company_of):
    company = company_of(["a woman wearing a red wool hat"])
    pairs = ("wearing red", "wearing wool", "wearing hat", "red wool", "red hat", "wool hat")
    assert all(company.beside(*pair.split()) == 1 for pair in pairs)
    assert company.beside("woman", "hat") == company.beside("red", "wearing") == 0
    assert company.beside(EDGE, "woman") == company.beside("hat", EDGE) == 1
    # red wool: log (1 + .5) / (1 * 1 / 1 + .5) = 0
    assert exp(company.attraction("red", "wool")) == 1


def test_nothing_is_known_of_no_captions(kinds):
    assert Company(kinds).affinity("dog", "cat") == 0


def test_full_tables_admit_no_more_words(kinds, read, monkeypatch):
    listed = len(set(kinds.terms()))
    monkeypatch.setattr(module, "WORDS", listed + 3)  # the edge and two more
    company = Company(kinds).count(map(read, ["zig dog zag", "zog dog zug zig", "zog old zag"]))
    assert [company.seen(w) for w in ("zig", "zag", "dog", "old")] == [2, 2, 2, 1]
    assert company.seen("zog") == company.seen("zug") == company.together("zog", "dog") == 0
    assert company.together("zig", "dog") == 2
    assert company.beside("zig", "dog") == 1
    assert company.beside("dog", "zig") == 0
    assert company.beside(EDGE, "dog") == 0  # a word stands between, though it is not counted
    assert company.beside("zig", EDGE) == 1
    assert company.beside("zag", "zag") == 0  # the last cell
