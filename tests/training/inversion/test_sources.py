"""What is learned from, and the lessons that are drawn of it."""

from __future__ import annotations

import random

import pytest
import torch

from rtd_adapters.errors import TripletError
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.inversion import Described
from rtd_adapters.training.inversion import CaptionSource, PictureSource, sources
from rtd_adapters.training.inversion.lessons import LessonStream
from rtd_adapters.triplets.spans import WordListSpans


@pytest.fixture
def lincir():
    return get_method("lincir")


@pytest.fixture
def tokenizer(lincir, toy_tower):
    return lincir.tokenizer(toy_tower)


class Counting(WordListSpans):
    asked = 0

    def find(self, captions):
        for spans in super().find(captions):
            self.asked += 1
            yield spans


def test_captions_are_cleaned_and_what_is_dropped_is_counted(tokenizer):
    raw = ["A  Red DOG for $5", None, "", " $ ", "a  red dog for $5", "<PERSON> on a boat"]
    source = CaptionSource(raw, tokenizer, WordListSpans())
    assert dict(source.dropped) == {"empty": 3, "repeated": 1}
    assert source.described([0, 1]) == [
        Described("a  red dog for 5", ("a red dog",)),
        Described("person on a boat", ("person", "a boat")),
    ]


def test_keywords_are_found_once_a_caption_as_far_as_memory_goes(tokenizer, monkeypatch):
    finder = Counting()
    source = CaptionSource(["a dog", "a cat", "a red car"], tokenizer, finder)
    assert source.described([2, 0, 2]) == source.described([2, 0, 2])
    assert finder.asked == 2
    monkeypatch.setattr(sources, "REMEMBERED", 2)
    assert [words.caption for words in source.described([1, 0, 1])] == ["a cat", "a dog", "a cat"]
    source.described([1])
    assert finder.asked == 4


@pytest.mark.parametrize(
    ("captions", "words"),
    [
        ([], "there was none"),
        (["", "$", None], r"3 empty"),
    ],
)
def test_no_caption_left_says_which_filter_took_how_many(tokenizer, captions, words):
    with pytest.raises(TripletError, match=rf"No caption is left to learn from \({words}\)"):
        CaptionSource(captions, tokenizer, WordListSpans())


def test_captions_without_any_keyword_are_refused(tokenizer):
    source = CaptionSource(["ein hund", "der himmel"], tokenizer, WordListSpans())
    with pytest.raises(TripletError, match="None of the first 2 captions has a keyword that word"):
        source.keyword_share()
    assert CaptionSource(["ein hund", "a dog"], tokenizer, WordListSpans()).keyword_share() == 0.5


def test_a_source_of_other_captions_has_another_hash(tokenizer):
    one, other = (CaptionSource([f"a {a}"], tokenizer, WordListSpans()) for a in ("dog", "cat"))
    assert one.sha256 != other.sha256
    assert one.sha256 == CaptionSource(["a dog"], tokenizer, WordListSpans()).sha256


def test_no_pictures_are_refused():
    with pytest.raises(TripletError, match="No picture is left"):
        PictureSource(torch.empty(0, 8))


def stream(lincir, tokenizer, captions, **changes):
    source = CaptionSource(captions, tokenizer, WordListSpans())
    settings = {"batch_size": 16, "seed": 0} | changes
    return LessonStream(source, lincir.projection_training, lincir, tokenizer, **settings)


def test_batches_follow_from_seed_and_number(lincir, tokenizer, captions):
    first = stream(lincir, tokenizer, captions)
    later = stream(lincir, tokenizer, captions)
    assert first.batch(7) == later.batch(7)
    other = stream(lincir, tokenizer, captions, seed=1)
    assert first.batch(7).places != other.batch(7).places
    assert first.batch(7).seed != first.batch(8).seed


def test_every_epoch_has_everything_once_but_what_is_held_out(lincir, tokenizer, captions):
    drawn = stream(lincir, tokenizer, captions, batch_size=18)
    held_out = drawn.held_out(drawn.holdout)
    assert len(held_out) == 20
    few = drawn.held_out(3)
    assert (few.places, few.lessons) == (held_out.places[:3], held_out.lessons[:3])
    for first in (0, 10):
        places = [p for number in range(first, first + 10) for p in drawn.batch(number).places]
        assert sorted(places) == sorted(set(range(200)) - set(held_out.places))


def test_the_random_word_changes_from_epoch_to_epoch(lincir, tokenizer):
    told = stream(lincir, tokenizer, ["walks beside under behind along"], batch_size=1)
    assert len({told.batch(number).prompts[0] for number in range(20)}) > 1


def test_too_few_captions_for_a_batch(lincir, tokenizer):
    with pytest.raises(
        TripletError, match=r"3 captions \(0 of them held out\) do not fill one batch"
    ):
        stream(lincir, tokenizer, ["a dog", "a cat", "a car"])


def test_a_prompt_that_is_too_long_loses_its_last_words(lincir, tokenizer):
    """The toy tower reads 32 tokens."""
    one, two = "a dog " + "walks " * 40, "walks " * 40 + "a dog"
    told = stream(lincir, tokenizer, [one, two], batch_size=2).batch(0)
    prompts = dict(zip(told.places, told.prompts, strict=True))
    assert prompts[0] == "$ " + " ".join(["walks"] * 28)
    assert tokenizer.encode_prompts([prompts[0]]).shape == (1, 32)
    draw = random.Random(0)
    lost = lincir.projection_training.lesson(lincir, Described(two.strip(), ("a dog",)), draw)
    assert lost.prompt.endswith("$")
    assert told.prompts[told.places.index(1)].startswith("$")  # cut before its keywords are sought
