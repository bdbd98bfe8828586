"""Cleaning of captions and conditioning texts."""

from __future__ import annotations

import json

import pytest

from rtd_adapters.clip.text import Tokenizer, clean_caption, clean_conditioning


@pytest.fixture
def tokenizer():
    return Tokenizer(placeholder="$")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ""),
        ("  A Dog ", "a dog"),
        ("<PERSON> and <PERSON>s", "person and persons"),
        ("a $5 bill $", "a 5 bill"),
        ("a dog <|endoftext|> runs", "a dog  runs"),
        ("keeps * and & and  spaces", "keeps * and & and  spaces"),
    ],
)
def test_captions_are_read_as_the_official_code_reads_them(tokenizer, text, expected):
    assert clean_caption(text, tokenizer) == expected


def test_captions_of_another_method_lose_that_methods_placeholder():
    assert clean_caption("a $5 * bill", Tokenizer(placeholder="*")) == "a $5  bill"


@pytest.mark.parametrize("words", [75, 76, 300])
def test_long_captions_keep_the_first_75_tokens(tokenizer, words):
    text = " ".join(f"{'red' if n % 2 else 'blue'}" for n in range(words))
    kept = clean_caption(text, tokenizer) if words <= 75 else _warned(text, tokenizer)
    assert kept.split() == text.split()[:75]
    assert tokenizer.truncated == (words > 75)
    assert (tokenizer.encode([kept])[0] == 49407).nonzero().item() == 76


def _warned(text, tokenizer):
    with pytest.warns(UserWarning, match="cut to 77"):
        return clean_caption(text, tokenizer)


def test_long_captions_equal_the_decoding_of_transformers(tokenizer, tmp_path):
    """The official code decodes by transformers; open_clip's merges are written out for it."""
    text = "Two cats, don't mind 3 dogs! " * 12
    transformers = pytest.importorskip("transformers")
    theirs = _transformers_tokenizer(transformers, tmp_path)
    ids = theirs(text.lower().strip())["input_ids"]
    assert len(ids) > 77
    # Older versions draw punctuation to the word before it unless told not to: the same tokens.
    decoded = theirs.decode(ids[1:76], clean_up_tokenization_spaces=False)
    assert _warned(text, tokenizer) == decoded.strip()


def _transformers_tokenizer(transformers, folder):
    from open_clip.tokenizer import SimpleTokenizer

    bpe = SimpleTokenizer()
    vocabulary = {
        token.replace("start_of_text", "|startoftext|").replace("end_of_text", "|endoftext|"): at
        for token, at in bpe.encoder.items()
    }
    merges = "\n".join(["#version: 0.2", *map(" ".join, bpe.bpe_ranks)])
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    return transformers.CLIPTokenizer.from_pretrained(folder)


def test_conditioning_texts_keep_everything_but_placeholders(tokenizer):
    text = "  Is $5 cheaper <PERSON> <|startoftext|>"
    assert clean_conditioning(text, tokenizer) == "Is 5 cheaper <PERSON>"
    assert tokenizer.cleaned == 1
