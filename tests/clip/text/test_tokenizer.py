"""The tokenizer against open_clip's, OpenAI's and one rebuilt from the merges file."""

from __future__ import annotations

import gzip
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import TripletError, UsageError

TEXTS = [
    "a photo of a dog",
    "",
    "Wow!! it's 2 café-chairs, $5 each &amp; “nice” … ünïcödé 漢字 🙂",
    "a photo of $ that is smaller",
    "jekyll and hyde's THE_end\n\ttabs   and spaces",
]
LONG = "red " * 200
REPLACE = "<|replace|>"


@pytest.fixture
def tokenizer():
    return Tokenizer(placeholder="$")


def test_ids_equal_open_clips_and_openais(tokenizer):
    import clip
    import open_clip

    ids = tokenizer.encode(TEXTS)
    assert ids.dtype == torch.int64
    assert torch.equal(ids, open_clip.get_tokenizer("ViT-L-14")(TEXTS))
    assert torch.equal(ids, clip.tokenize(TEXTS).long())


def test_an_exclamation_mark_is_not_padding(tokenizer):
    assert tokenizer.encode(["!"])[0, :4].tolist() == [49406, 256, 49407, 0]


def test_over_long_texts_are_cut_with_eot_kept_counted_and_warned_of_once(tokenizer):
    import clip

    with pytest.warns(UserWarning, match="202 tokens was cut to 77") as caught:
        ids = tokenizer.encode([LONG, "short", LONG + "blue"])
        tokenizer.encode([LONG])
    assert len(caught) == 1
    assert torch.equal(ids[:1], clip.tokenize([LONG], truncate=True).long())
    assert tokenizer.truncated == 2


def test_a_text_that_just_fits_is_not_cut(tokenizer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = tokenizer.encode(["red " * 75])
    assert ids[0, -1] == 49407
    assert tokenizer.truncated == 0


def test_other_context_lengths():
    assert Tokenizer(8).encode(["a photo of a dog"]).shape == (1, 8)
    with pytest.warns(UserWarning):
        assert Tokenizer(5).encode(["a photo of a dog"]).tolist() == [
            [49406, 320, 1125, 539, 49407]
        ]


@pytest.mark.parametrize(("sign", "expected"), [("$", 259), ("*", 265)])
def test_placeholders_have_openais_ids(sign, expected):
    assert Tokenizer(placeholder=sign).placeholder_id == expected


def test_no_placeholder_is_none_and_no_prompts():
    assert Tokenizer().placeholder_id is None
    with pytest.raises(UsageError, match="no placeholder"):
        Tokenizer().encode_prompts(["a photo of $"])


def test_a_placeholder_of_several_tokens_is_refused():
    with pytest.raises(UsageError, match=r"'\[\$\]' is 3 tokens"):
        Tokenizer(placeholder="[$]")


def test_prompts_are_encoded_like_other_texts(tokenizer):
    prompts = ["a photo of $ that is red", "a photo of $"]
    ids = tokenizer.encode_prompts(prompts)
    assert torch.equal(ids, tokenizer.encode(prompts))
    assert (ids == 259).sum(dim=1).tolist() == [1, 1]


@pytest.mark.parametrize("glued", ["a photo of $, red", "a photo of $.", "a photo of $$"])
def test_a_placeholder_that_glues_to_its_neighbour_is_quoted(tokenizer, glued):
    with pytest.raises(TripletError) as caught:
        tokenizer.encode_prompts(["a photo of $", glued])
    assert repr(glued) in str(caught.value)
    assert "spaces round it" in str(caught.value)


def test_one_placeholder_too_many_is_an_error(tokenizer):
    with pytest.raises(TripletError, match=r"has 2 placeholders .* instead of 1.*costs"):
        tokenizer.encode_prompts(["a photo of $ that costs $5"])


def test_each_prompt_may_have_its_own_count():
    tokenizer = Tokenizer(placeholder="*")
    prompts = ["a photo of * with * * but red", "a photo of *"]
    assert tokenizer.encode_prompts(prompts, [3, 1]).shape == (2, 77)
    with pytest.raises(TripletError, match="needs 2"):
        tokenizer.encode_prompts(prompts, [3, 2])


def test_a_placeholder_that_was_cut_off_is_told_apart(tokenizer):
    with pytest.warns(UserWarning), pytest.raises(TripletError, match="lost its placeholder"):
        tokenizer.encode_prompts([f"{LONG} $"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two $5 bills", "two 5 bills"),
        ("keep * and #", "keep * and #"),
        ("A <|EndOfText|> B<start_of_text>", "A  B"),
        ("x <|replace|> y", "x  y"),
        ("<|end$oftext|>", ""),
        ("cost &#36;5", "cost 5"),
        ("cost \uff045", "cost 5"),  # full width
        ("&#36; &amp;amp;#36;5", " 5"),
        ("Plain Text stays “as is” &amp; whole", "Plain Text stays “as is” &amp; whole"),
    ],
)
def test_cleaning_takes_out_what_would_be_read_as_a_placeholder(tokenizer, text, expected):
    cleaned = tokenizer.clean(text)
    assert cleaned == expected
    assert not {259, 49406, 49407} & set(tokenizer.encode([cleaned])[0, 1:].tolist()) - {49407}
    assert tokenizer.cleaned == (text != expected)


def test_each_text_is_counted_once(tokenizer):
    for text in ("$1", "$2", "$1", "plain"):
        tokenizer.clean(text)
    assert tokenizer.cleaned == 2


class Rebuilt:
    """Byte-pair encoding from the merges file, with one merge fewer and one more token."""

    def __init__(self, token):
        import open_clip.tokenizer

        packed = Path(open_clip.tokenizer.default_bpe()).read_bytes()
        lines = gzip.decompress(packed).decode().split("\n")[1 : 49152 - 256 - 2]
        self.merges = [tuple(line.split()) for line in lines]
        self.bytes = open_clip.tokenizer.bytes_to_unicode()
        letters = list(self.bytes.values())
        words = [*letters, *(letter + "</w>" for letter in letters), *map("".join, self.merges)]
        self.ids = {word: place for place, word in enumerate([*words, token, "SOT", "EOT"])}
        self.rank = {merge: place for place, merge in enumerate(self.merges)}
        self.token = token

    def encode(self, words):
        ids = [self.ids["SOT"]]
        for word in words:
            ids += [self.ids[self.token]] if word == self.token else self._pieces(word)
        return [*ids, self.ids["EOT"]]

    def _pieces(self, word):
        parts = [self.bytes[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self.rank.get(pair, 1 << 30))
            if best not in self.rank:
                break
            merged, place = [], 0
            while place < len(parts):
                joined = tuple(parts[place : place + 2]) == best
                merged.append("".join(best) if joined else parts[place])
                place += 2 if joined else 1
            parts = merged
        return [self.ids[part] for part in parts]


def test_an_added_token_takes_the_place_of_the_last_merge():
    tokenizer = Tokenizer(placeholder=REPLACE, added_token=REPLACE)
    assert tokenizer.placeholder_id == 49405
    rebuilt = Rebuilt(REPLACE)
    for words in (
        f"a photo of {REPLACE} , jekyll and hyde in the snow".split(),
        f"{REPLACE} extraordinarily misspeled words".split(),
    ):
        ids = tokenizer.encode_prompts([" ".join(words)])[0]
        expected = rebuilt.encode(words)
        assert ids[: len(expected)].tolist() == expected
    assert tokenizer.encode(["<|REPLACE|>"])[0, 1] == 49405


def test_an_added_token_changes_one_word_only_and_no_other_tokenizer():
    with_token, plain = Tokenizer(added_token=REPLACE), Tokenizer()
    words = [w[:-4] for w in Rebuilt(REPLACE).ids if w.endswith("</w>") and w[:-4].isascii()]
    words = [*[word for word in words if word.isalpha()][-4000:], "jekyll"]
    changed = (with_token.encode(words) != plain.encode(words)).any(dim=1)
    assert [word for word, moved in zip(words, changed, strict=True) if moved] == ["jekyll"]
    assert Tokenizer().encode([REPLACE])[0, 1:6].tolist() == [27, 347, 9466, 91, 285]


def test_a_tokenizer_can_be_sent_to_another_process(tokenizer):
    import pickle

    copy = pickle.loads(pickle.dumps(tokenizer))
    assert torch.equal(copy.encode(TEXTS), tokenizer.encode(TEXTS))


def test_lengths_are_those_of_encode():
    """Against open_clip's ids, whose padding is 0; a cut text counts as what is left of it."""
    import open_clip

    tokenizer = Tokenizer(16)
    texts = ["", "a photo of a dog", "one two three four five six seven eight nine ten " * 3]
    ids = open_clip.get_tokenizer("ViT-L-14", context_length=16)(texts)
    assert tokenizer.lengths(texts) == (ids != 0).sum(dim=1).tolist() == [2, 7, 16]
    assert tokenizer.truncated == 0
