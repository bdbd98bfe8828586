"""The check counts what is wrong, and the clean copy has none of it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import torch

from rtd_adapters.clip.text import CLIP_BPE
from rtd_adapters.triplets import Triplet, read_triplets, write_triplets
from rtd_adapters.triplets.checking.flaws import (
    DAMAGED,
    FOREIGN,
    NEAR_REPEATED,
    PLACEHOLDER,
    REPEATED,
    UNCHANGED,
    is_foreign,
)
from rtd_adapters.triplets.checking.quality import (
    EMPTY,
    MALFORMED,
    UNREADABLE,
    clean_triplets,
    edit_kind,
    measure,
)
from rtd_adapters.triplets.checking.quality_report import as_dict, as_html, as_table, as_text
from rtd_adapters.triplets.checking.sense import UNGRAMMATICAL
from rtd_adapters.triplets.checking.verdict import (
    DOUBTFUL,
    GOOD,
    UNFIT,
    UNIFORM,
    Reason,
    Verdict,
    judge,
)
from rtd_adapters.triplets.columns import OFFICIAL

CLEAN = [
    Triplet(f"a red dog number {n}", f"is blue {n}", f"a blue dog number {n}") for n in range(1200)
]
BAD = {
    REPEATED: Triplet("A red dog number 3", "is blue 3", "a blue dog number 3 "),
    NEAR_REPEATED: Triplet("a red, dog number 4!", "blue is 4", "a blue dog: number 4"),
    UNCHANGED: Triplet("A cat.", "is new", "a cat"),
    FOREIGN: Triplet("一只狗", "is blue", "a blue dog"),
    PLACEHOLDER: Triplet("a $5 coat", "costs * more", "a <|endoftext|> coat"),
    DAMAGED: Triplet("a cafÃ©", "is open", "an open caf"),
}
LONG = Triplet("a long one", "word " * 90, "another long one")


@pytest.fixture
def mixed(tmp_path):
    """1,200 good triplets, one of each flaw, three rows that are none, and a long one."""
    path = tmp_path / "mixed.jsonl"
    write_triplets(path, [*CLEAN, *BAD.values(), LONG])
    with path.open("a") as stream:
        stream.write("{broken\n")
        stream.write(json.dumps({OFFICIAL[0]: "a"}) + "\n")
        stream.write(json.dumps(dict.fromkeys(OFFICIAL, " ")) + "\n")
    return path


def test_every_flaw_is_counted_once(mixed):
    found = measure(mixed)
    assert (found.rows, found.triplets) == (1210, 1207)
    assert found.flaws == dict.fromkeys([*BAD, UNREADABLE, MALFORMED, EMPTY], 1)
    assert [re.search(r"line \d+", text)[0] for text in found.messages] == [
        "line 1208",
        "line 1209",
        "line 1210",
    ]
    assert found.truncated == 1


def test_lengths_are_the_tokenizers(mixed):
    from open_clip import get_tokenizer

    tokenizer = get_tokenizer("ViT-B-32", context_length=1024)
    found = measure(mixed)
    expected = [int((tokenizer(t.target) != 0).sum()) for t in [*CLEAN, *BAD.values(), LONG]]
    assert sorted(found.lengths["target"].elements()) == sorted(expected)
    assert max(found.lengths["composed prompt"]) == 90 + 7


def test_lengths_are_those_of_the_encoders_own_vocabulary(mixed):
    """A vocabulary of whole words, of which a text has as many as spaces and one more."""

    class Words(type(CLIP_BPE)):
        def ids(self, text, added_token=None):
            return tuple(range(len(text.split())))

    found = measure(mixed, context_length=4, vocabulary=Words())
    expected = [len(t.target.split()) for t in [*CLEAN, *BAD.values(), LONG]]
    assert sorted(found.lengths["target"].elements()) == sorted(expected)
    assert found.truncated > 3 * len(CLEAN) - 10, "captions of five and six words, prompts of more"


def test_the_clean_copy_is_good(mixed, tmp_path):
    out = tmp_path / "clean.jsonl"
    assert write_triplets(out, clean_triplets(mixed)) == 1200 + 4
    kept = list(read_triplets(out))
    assert kept[:1200] == CLEAN
    assert Triplet("a 5 coat", "costs more", "a coat") in kept
    again = measure(out)
    assert not set(again.flaws) - {NEAR_REPEATED, DAMAGED}
    assert judge(again).word == UNIFORM  # its conditionings are a template's


def test_verdicts(mixed, tmp_path):
    verdict = judge(measure(mixed))
    assert verdict.word == UNFIT
    assert verdict.reasons[0].text.startswith("3 of 1,210 rows are no triplet")
    few = tmp_path / "few.jsonl"
    write_triplets(few, CLEAN[:50])
    assert judge(measure(few)).word == DOUBTFUL
    same = tmp_path / "same.jsonl"
    write_triplets(same, [Triplet(t.reference, t.conditioning, t.reference) for t in CLEAN])
    assert judge(measure(same)).word == UNFIT


def test_similarities_are_cosines_of_the_encoder(tmp_path):
    path = tmp_path / "t.jsonl"
    write_triplets(path, CLEAN)

    def embed(texts):
        return torch.tensor([[text.count("red"), text.count("blue"), 0.5] for text in texts])

    found = measure(path, embed=embed, sample=100)
    red, blue, both = (
        torch.tensor([1, 0, 0.5]),
        torch.tensor([0, 1, 0.5]),
        torch.tensor([1, 1, 0.5]),
    )
    cosines = [float(torch.cosine_similarity(v, blue, dim=0)) for v in (red, both)]
    for values, expected in zip(list(found.similarities.values())[:2], cosines, strict=True):
        assert values == pytest.approx([expected] * 100)
    assert len(set(found.sample)) == 100
    assert found.sample != CLEAN[:100]
    for cosine, verdict in ((1.0, DOUBTFUL), (0.1, DOUBTFUL), (0.6, GOOD)):
        found.similarities["reference to target"] = [cosine] * 10
        found.far = 0.0
        assert judge(found).word == verdict


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("A red dog!", "no word"),
        ("a red dog on grass", "words added"),
        ("a dog", "words removed"),
        ("a blue dog", "words swapped"),
        ("three cats sleep", "mostly rewritten"),
    ],
)
def test_kinds_of_change(target, kind):
    assert edit_kind(Triplet("a red dog", "x", target)) == kind


def test_scripts():
    assert not any(map(is_foreign, ["a dog", "un café à Noël", "naïve 犬 dog", "123 !"]))
    assert all(map(is_foreign, ["собака", "a 一只狗在草地上", "犬"]))


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_reports_hold_the_figures_and_no_markup_of_the_data(tmp_path):
    path = tmp_path / "<b>.jsonl"
    write_triplets(path, [*CLEAN, Triplet("<script>x</script>", "<img src=x>", "y")] * 2)
    found = measure(path, embed=lambda texts: torch.ones(len(texts), 2), sample=3000)
    found.sample.sort(key=lambda t: t.reference)
    verdict = judge(found)
    reader = Reader()
    reader.feed(as_html(found, verdict))
    assert not {"b", "script", "img"} & set(reader.tags)
    assert "<script>x</script>" in reader.text
    assert reader.tags.count("svg") == 9
    assert REPEATED in "\n".join(as_text(found, verdict))
    assert as_dict(found, verdict)["flaws"] == {REPEATED: 1201}
    assert as_dict(found, verdict)["faults"][UNGRAMMATICAL] == 0
    examples = (Triplet("a dog", "is boat", "a boat"),)
    shown = as_text(found, Verdict((Reason(DOUBTFUL, "Hm.", examples),)))
    assert "      a dog | is boat | a boat" in shown
    found.sense.examples = {UNGRAMMATICAL: [Triplet("a dog", "make it two", "two <dog>")]}
    page = Reader()
    page.feed(as_html(found, verdict))
    assert {"two <dog>", f"{UNGRAMMATICAL}: 0.0%"} <= set(page.text)
    assert as_dict(found, verdict)["worst"][UNGRAMMATICAL][0]["target"] == "two <dog>"
    assert json.loads(json.dumps(as_dict(found, verdict)))["verdict"] == DOUBTFUL
    table = as_table([Triplet("a b " * 20, "c", "d")], 60)
    assert max(map(len, table)) <= 60
    assert "".join(table).count("a b") > 10
