"""The list of words by kind: how it is read, and what may stand in for what."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from rtd_adapters.errors import TripletError
from rtd_adapters.triplets.language.kinds import FORMS, Kinds, read_kinds

LINES = [
    "# ours",
    "",
    "colour adjective: Red, crimson | blue,  light   blue | light blue, azure |green,",
    "fruit count: orange, tangerine | apple",
    "colour adjective: orange, amber",
    "look action: smiling",
]


@pytest.fixture(scope="module")
def own():
    return Kinds(LINES, "mine")


def alternatives(kinds, term):
    return {r.kind: set(kinds.alternatives(r)) for r in kinds.readings(term)}


def test_what_stands_in_for_what(own):
    assert alternatives(own, "red") == {
        "colour": {"blue", "light blue", "azure", "green", "orange", "amber"}
    }
    assert alternatives(own, "light blue") == {
        "colour": {"red", "crimson", "green", "orange", "amber"}
    }
    assert alternatives(own, "orange") == {
        "fruit": {"apple"},
        "colour": {"red", "crimson", "blue", "light blue", "azure", "green"},
    }
    assert alternatives(own, "smiling") == {"look": set()}
    assert alternatives(own, "Red") == {}
    assert ("crimson" in own, "purple" in own, "" in own) == (True, False, False)
    assert own.longest == 2
    assert list(own.terms())[:4] == ["red", "crimson", "blue", "light blue"]


def test_meanings_are_one_term_for_all_of_a_group(own):
    def meaning(term):
        return own.meaning(own.readings(term)[0])

    assert meaning("red") == meaning("crimson") == "crimson"
    assert len({meaning(term) for term in ("red", "blue", "green", "orange", "apple")}) == 5


def test_terms_of_one_attribute(own):
    assert own.share_kind("red", "orange")
    assert own.share_kind("apple", "orange")
    assert not own.share_kind("apple", "red")
    assert not own.share_kind("apple", "nothing")


def test_no_alternative_of_the_built_in_list_shares_a_meaning(kinds):
    """Groups are taken from the file's own text."""
    from importlib.resources import files

    text = files("rtd_adapters.triplets.language").joinpath("kinds.txt").read_text("utf-8")
    together, places = set(), {}
    for line in filter(None, text.splitlines()):
        if line.startswith("#"):
            continue
        head, body = line.split(": ")
        for group in body.split(" | "):
            terms = group.split(", ")
            together |= {(head, *pair) for pair in product(terms, terms)}
            for term in terms:
                places.setdefault(head, set()).add(term)
    for head, terms in places.items():
        for term in terms:
            (reading,) = [r for r in kinds.readings(term) if f"{r.kind} {r.form}" == head]
            assert reading.form in FORMS
            found = kinds.alternatives(reading)
            assert len(found) == len(set(found))
            assert set(found) == {other for other in terms if (head, term, other) not in together}


@pytest.mark.parametrize(
    "line", ["red, blue", "colour adjective red", "adjective: red", "colour verb: red", ": red"]
)
def test_a_bad_line_is_named_by_its_number_in_ones_own_file(line, tmp_path):
    path = tmp_path / "own.txt"
    path.write_text(f"# mine\nfabric adjective: tweed | satin, silk\n{line}\n")
    with pytest.raises(TripletError, match=r"own\.txt, line 3 is .*second word is one of action"):
        read_kinds(path)


def test_ones_own_words_come_to_the_built_in_ones(kinds, tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes(b"\xef\xbb\xbffabric adjective: tweed | satin\r\ncolour adjective: puce\n")
    own = read_kinds(path)
    assert alternatives(own, "tweed") == {"fabric": {"satin"}}
    assert {"red", "teal"} <= alternatives(own, "puce")["colour"]
    assert "puce" not in kinds
    assert own.sha256 != kinds.sha256
    assert read_kinds(path).sha256 == own.sha256


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "own.txt").write_bytes(b"colour adjective: \xff\n")
    for name in ("own.txt", "none.txt", "."):
        with pytest.raises(TripletError, match="cannot be read"):
            read_kinds(tmp_path / name)


PARTS = st.sampled_from([*FORMS, "colour", ":", "|", ",", " ", "#", "red", "\n", "\r", "\x85"])


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=80) | st.lists(PARTS, max_size=30).map("".join))
def test_any_text_is_read_or_refused(text, tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(TripletError):
        kinds = read_kinds(path)
        for term in kinds.terms():
            assert term == " ".join(term.split()) != ""
            for reading in kinds.readings(term):
                assert kinds.meaning(reading)


def test_empty_places_between_commas_mean_nothing():
    kinds = Kinds(["colour adjective: red, | , blue | | "], "mine")
    assert [kinds.meaning(kinds.readings(term)[0]) for term in ("red", "blue")] == ["red", "blue"]
    assert alternatives(kinds, "red") == {"colour": {"blue"}}
