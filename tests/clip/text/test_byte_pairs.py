"""Our byte-pair encoder gives open_clip's own ids, of captions and of hostile texts."""

from __future__ import annotations

import random
import string

import pytest
from open_clip.tokenizer import SimpleTokenizer

from rtd_adapters.clip.text import byte_pairs as module
from rtd_adapters.clip.text.byte_pairs import BytePairEncoder, byte_pairs
from rtd_adapters.demo.captions import caption
from rtd_adapters.demo.scenes import draw_training_scene

REAL = SimpleTokenizer()
PARTS = [
    *string.printable,
    "&",
    "&amp;",
    "&#36;",
    "&lt;b&gt;",
    "&amp;amp;",
    "<end_of_text>",
    "<START_OF_TEXT>",
    "$",
    "*",
    "'s",
    "'S",
    "'re",
    "don't",
    "O'CLOCK",
    "it's",
    "''",
    "'''s",
    "1984",
    "3.5",
    "007",
    "$5",
    "!!!",
    "é",
    "e\u0301",
    "ß",
    "İ",
    "\u017f",
    "K",
    "ﬁ",
    "½",
    "²",
    "Ⅷ",
    "٣",
    "中文",
    "日本",
    "🙂",
    "👩‍👩‍👧",
    "\u200b",
    "\u00a0",
    "\u2028",
    "\ufeff",
    "\x00",
    "\x1b[31m",
    "Ã©",
    "â€™",
    "“",
    "\u2019",
    "—",
    "…",
    "™",
    "Ω",
    "\ud800",
    "supercalifragilistic",
    "a" * 90,
    "_",
    "-",
    "snake_case",
    "CamelCase",
    "x" * 3,
    "  ",
    "\t",
    "\r\n",
]


def theirs(text):
    return (REAL.sot_token_id, *REAL.encode(text), REAL.eot_token_id)


def hostile(draw):
    joined = draw.choice(["", "", " "])
    return joined.join(draw.choice(PARTS) for _ in range(draw.randrange(12)))


def captions(draw):
    text = caption(draw_training_scene(draw), draw)
    return draw.choice(
        [text, text.title(), f"  {text}.", text.replace(" ", "  "), f"{text}, 4 of 10"]
    )


def require_equal(count, make, seed):
    draw, encoder = random.Random(seed), BytePairEncoder()
    for _ in range(count):
        text = make(draw)
        try:
            expected = theirs(text)
        except UnicodeEncodeError:  # a lone surrogate, for both
            with pytest.raises(UnicodeEncodeError):
                encoder.ids(text)
            continue
        assert encoder.ids(text) == expected, repr(text)
        assert encoder.clean(text) == REAL.clean_fn(text), repr(text)


@pytest.mark.parametrize("make", [hostile, captions])
def test_ids_are_open_clips(make):
    require_equal(3_000, make, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("make", [hostile, captions])
def test_ids_are_open_clips_on_fifty_thousand_texts_more(make):
    require_equal(50_000, make, seed=1)


def test_a_full_table_begins_anew(monkeypatch):
    monkeypatch.setattr(module, "MOST_WORDS", 3)
    encoder = BytePairEncoder()
    for text in ("a dog and a cat", "two birds", "a dog and a cat", "zebras, 3 of them"):
        assert encoder.ids(text) == theirs(text)
    assert len(encoder._words) <= 3


def test_an_added_token_takes_the_last_merges_id():
    added = byte_pairs("<|replace|>")
    assert added.ids("a photo of <|replace|> , is red")[4] == module.ADDED_ID
    assert added.ids("<|REPLACE|>x")[1] == module.ADDED_ID
    assert module.ADDED_ID not in byte_pairs().ids("a photo of <|replace|> , is red")
    assert byte_pairs("<|replace|>") is added


def test_repairs_are_left_out_only_where_they_change_nothing(monkeypatch):
    """Printable ASCII without an ampersand; everything else goes through open_clip's own."""
    encoder, seen = BytePairEncoder(), []
    clean = encoder._bpe.clean_fn
    monkeypatch.setattr(encoder._bpe, "clean_fn", lambda text: seen.append(text) or clean(text))
    for text in ("A  Dog!", "a &amp; b", "tab\there", "é", "$5 * 3"):
        encoder.clean(text)
    assert seen == ["a &amp; b", "tab\there", "é"]
