"""Batches of lessons, each a pure function of seed and step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import TripletError
from rtd_adapters.methods.inversion import Lesson, ProjectionTraining
from rtd_adapters.methods.method import Method
from rtd_adapters.training.inversion.sources import Source
from rtd_adapters.training.order import WORDS, Draws


@dataclass(frozen=True)
class Lessons:
    """B things to learn from, and what is to be said of them."""

    places: list[int]
    """In the source."""
    lessons: list[Lesson]
    seed: int = 0
    """Of noise and dropout."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def prompts(self) -> list[str]:
        """Of the lessons."""
        return [lesson.prompt for lesson in self.lessons]


class LessonStream:
    """An endless, reshuffled stream over all of a source but a held-out slice.

    Args:
        source: captions or pictures.
        training: of the method's projection.
        method: whose projection it is.
        tokenizer: the method's.
        batch_size: things in a batch.
        seed: decides order, words, noise and dropout.

    Raises:
        TripletError: there are too few things for one batch.
    """

    def __init__(
        self,
        source: Source,
        training: ProjectionTraining,
        method: Method,
        tokenizer: Tokenizer,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self._source, self._training, self._method = source, training, method
        self._tokenizer, self._batch_size, self._seed = tokenizer, batch_size, seed
        self._draws = Draws(len(source), seed)
        self.holdout = self._draws.holdout
        if self._draws.trained < batch_size:
            raise TripletError(
                f"{len(source)} {training.learns_from} ({self.holdout} of them held out) do "
                f"not fill one batch of {batch_size}. Lower --batch-size or bring more."
            )

    def batch(self, number: int) -> Lessons:
        """The batch of that number, counted from 0."""
        first = number * self._batch_size
        positions = range(first, first + self._batch_size)
        places = [self._draws.place(position) for position in positions]
        return Lessons(places, self._told(places, positions), self._draws.noise_seed(number))

    def held_out(self, count: int) -> Lessons:
        """The first `count` of what is held out, as one batch, always the same."""
        places = self._draws.held_out()
        positions = range(-len(places), 0)[:count]
        return Lessons(places[:count], self._told(places[:count], positions))

    def _told(self, places: Sequence[int], positions: Sequence[int]) -> list[Lesson]:
        told = []
        for described, position in zip(self._source.described(places), positions, strict=True):
            draw = random.Random(f"{self._seed} {WORDS} {position}")
            lesson = self._training.lesson(self._method, described, draw)
            told.append(fitting(lesson, self._method, self._tokenizer))
        return told


def fitting(lesson: Lesson, method: Method, tokenizer: Tokenizer) -> Lesson:
    """A lesson whose prompt lacks the words at its end that the context has no place for; the bare
    prompt where no placeholder is left."""
    fitted, words = lesson.prompt, lesson.prompt.split()
    while words and _length(fitted, method, tokenizer) > tokenizer.context_length:
        words.pop()
        fitted = " ".join(words)
    return Lesson(fitted if method.placeholder in fitted else method.bare_prompt, lesson.target)


def _length(prompt: str, method: Method, tokenizer: Tokenizer) -> int:
    """Tokens of a prompt, not cut."""
    sign, added = method.placeholder, tokenizer.added_token
    return len(tokenizer.vocabulary.prompt_ids(prompt, sign, added))
