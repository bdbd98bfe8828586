"""Rule-made triplets: what is swapped, how it reads, and that a broken run goes on unchanged."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from rtd_adapters.triplets.templates import REMOVE_AND_ADD, SWAP, TARGET_ONLY, TEMPLATES
from rtd_adapters.triplets.vocabulary import build_vocabulary

from rtd_adapters.errors import FileError, TripletError
from rtd_adapters.triplets import read_triplets
from rtd_adapters.triplets.keywords import ADJECTIVE, NOUN, SpacyFinder, WordListFinder
from rtd_adapters.triplets.language.grammar import article, plural, singular, swap
from rtd_adapters.triplets.rules import RuleSettings, make_triplet, rule_triplets

COLOURS = ["a red", "a blue", "a green", "an orange"]
THINGS = ["dog", "cat", "horse", "woman", "apple", "box"]
PLURALS = """\
dog dogs
box boxes
glass glasses
church churches
bus buses
baby babies
toy toys
child children
fireman firemen
human humans
sheep sheep
shoe shoes
leaf leaves"""
SETTINGS = RuleSettings(min_count=1)


@pytest.fixture
def captions(tmp_path):
    draw = random.Random(0)
    path = tmp_path / "captions.txt"
    path.write_text(
        "".join(
            f"{draw.choice(COLOURS)} {draw.choice(THINGS)} by two {plural(draw.choice(THINGS))}"
            f" number {n}\n"
            for n in range(700)
        )
    )
    return path


def words_of(text):
    return Counter(text.lower().split())


def test_a_swap_changes_one_keyword_and_its_article(tmp_path, captions):
    out = tmp_path / "out.jsonl"
    counts = rule_triplets(captions, out, SETTINGS, finder=WordListFinder())
    triplets = list(read_triplets(out))
    assert counts.captions == 700
    assert counts.triplets == len(triplets) == len(set(triplets)) == 700
    assert [t.reference for t in triplets] == captions.read_text().splitlines()
    for triplet in triplets:
        lost = words_of(triplet.reference) - words_of(triplet.target)
        gained = words_of(triplet.target) - words_of(triplet.reference)
        old, new = set(lost) - {"a", "an"}, set(gained) - {"a", "an"}
        assert len(old) == len(new) == 1
        assert new.pop() in triplet.conditioning
        first, second = triplet.target.split()[:2]
        assert first == ("an" if second == "orange" else "a")


def test_every_family_of_instructions_appears_and_reads_in_the_present_order():
    assert 45 <= len(TEMPLATES) == len(set(TEMPLATES)) <= 60
    assert all("{source}" in t and "{target}" in t for t in SWAP + REMOVE_AND_ADD)
    assert all("{source}" not in t for t in TARGET_ONLY)


def test_one_seed_one_file_and_another_seed_another(tmp_path, captions):
    files = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / f"{number}.jsonl"
        rule_triplets(captions, out, RuleSettings(min_count=1, seed=seed), finder=WordListFinder())
        files.append(out.read_bytes())
    assert files[0] == files[1] != files[2]


class Breaking(WordListFinder):
    """Fails after some captions, as a kill would."""

    def __init__(self, after):
        self.after, self.read = after, 0

    def find(self, captions):
        for keywords in super().find(captions):
            if self.read == self.after:
                raise KeyboardInterrupt
            self.read += 1
            yield keywords


def test_a_broken_run_goes_on_to_the_same_file(tmp_path, captions):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    rule_triplets(captions, whole, SETTINGS, finder=WordListFinder())
    with pytest.raises(KeyboardInterrupt):
        rule_triplets(captions, out, SETTINGS, finder=Breaking(400))
    assert not out.exists()
    journal = tmp_path / "out.jsonl.work" / "keywords.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])  # a torn last line
    with pytest.raises(FileError, match="other settings or captions"):
        rule_triplets(captions, out, RuleSettings(min_count=2), finder=WordListFinder())
    rest = Breaking(700)
    rule_triplets(captions, out, SETTINGS, finder=rest)
    assert rest.read < 700
    assert out.read_bytes() == whole.read_bytes()
    assert not journal.parent.exists()


def test_an_empty_result_says_which_filter_took_how_many(tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text("caption,n\nhello there,1\n,2\na dog,3\na dog,4\n")
    message = r"4 captions \(.*repeated caption: 1"
    with pytest.raises(TripletError, match=message) as caught:
        rule_triplets(path, tmp_path / "out.jsonl", SETTINGS, finder=WordListFinder())
    for part in ("no keyword: 1", "empty caption: 1", "no alternative for a keyword: 1"):
        assert part in str(caught.value)
    assert not (tmp_path / "out.jsonl").exists()


def test_alternatives_lie_in_the_band():
    import torch

    texts = [f"thing{n}" for n in range(40)]
    vectors = {t: torch.randn(4, generator=torch.Generator().manual_seed(n))
               for n, t in enumerate(texts)}  # fmt: skip
    vocabulary = build_vocabulary(
        [(NOUN, text) for text in texts] + [(ADJECTIVE, "red")],
        min_count=1,
        size=100,
        seed=0,
        embed=lambda rows: (
            torch.stack([vectors[row] * 3 for row in rows]) if rows != ["red"] else torch.ones(1, 4)
        ),
        band=(0.5, 0.7),
    )
    some = 0
    for text in texts:
        expected = {
            other
            for other in texts
            if 0.5 <= torch.cosine_similarity(vectors[text], vectors[other], dim=0) <= 0.7
        }
        assert set(vocabulary.alternatives[NOUN, text]) == expected
        some += len(expected)
    assert 0 < some < 40 * 39
    assert vocabulary.alternatives[ADJECTIVE, "red"] == []


def test_rare_terms_and_terms_that_share_a_word_are_left_out():
    terms = [(NOUN, t) for t in ["dog", "dog", "dog house", "dog house", "cat", "cat", "emu"]]
    vocabulary = build_vocabulary(terms, min_count=2, size=10, seed=0)
    assert vocabulary.alternatives == {
        (NOUN, "dog"): ["cat"],
        (NOUN, "dog house"): ["cat"],
        (NOUN, "cat"): ["dog", "dog house"],
    }
    assert set(build_vocabulary(terms, min_count=1, size=2, seed=0).alternatives) == {
        (NOUN, "cat"),
        (NOUN, "dog"),
    }


def test_spacy_finds_noun_phrases_and_adjectives():
    pytest.importorskip("spacy")
    caption = "Two mid-sized dogs near an old fire hydrant in the background"
    (found,) = SpacyFinder().find([caption])
    assert [(caption[k.start : k.end], k.kind, k.term, k.is_plural) for k in found] == [
        ("dogs", NOUN, "dog", True),
        ("old", ADJECTIVE, "old", False),
        ("fire hydrant", NOUN, "fire hydrant", False),
    ]


def test_number_and_capital_letters_are_kept():
    (found,) = WordListFinder().find(["Women ride an old horse"])
    made = make_triplet("Women ride an old horse", found[0], "child", "is {a_target}")
    assert (made.conditioning, made.target) == ("is children", "Children ride an old horse")
    made = make_triplet("Women ride an old horse", found[1], "red", "replace {source} by {target}")
    assert (made.conditioning, made.target) == ("replace old by red", "Women ride a red horse")
    (found,) = WordListFinder().find(["a dog"])
    assert make_triplet("a dog", found[0], "apple", "has {a_target}").conditioning == "has an apple"


@pytest.mark.parametrize(
    ("one", "many"),
    [line.split() for line in PLURALS.splitlines()],
)
def test_plurals(one, many):
    assert plural(f"red {one}") == f"red {many}"
    assert singular(f"red {many}") == f"red {one}"


def test_articles():
    sounds_like_a = ["dog", "unicorn", "uniform", "european", "user", "one-way street", "unique"]
    sounds_like_an = ["apple", "hour", "umbrella", "uninteresting view", "honest man", "unmade bed"]
    assert {article(word) for word in sounds_like_a} == {"a"}
    assert {article(word) for word in sounds_like_an} == {"an"}
    assert swap("An old dog", 3, 6, "new") == "A new dog"
    assert swap("banana old", 7, 10, "apple") == "banana apple"


def test_the_file_is_the_official_format(tmp_path, captions):
    out = tmp_path / "out.jsonl"
    rule_triplets(captions, out, SETTINGS, finder=WordListFinder())
    keys = {tuple(json.loads(line)) for line in out.read_text().splitlines()}
    assert keys == {("reference_caption", "conditioning_caption", "target_caption")}
