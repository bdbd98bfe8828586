"""One text tower to hold ours against: a model of its own library, and the ids it is asked with."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text import TextTower, Vocabulary, tower_from_model

PLACEHOLDER = 200
"""Behind the special tokens of every family here."""
MARGIN = 10
"""Rows at the end of a vocabulary that no word has; CLIP keeps its special tokens there."""
SIGN = "$"


class WordIds(Vocabulary):
    """Words numbered by their spelling, between the tokens that a family puts round a text.

    It stands in for a tower's own tokenizer, whose files no test can fetch.

    Args:
        size: rows of the vocabulary.
        begin, end: ids before and behind every text, where there are any.
        pad: id of padding.
    """

    special_tokens = ("<pad>",)

    def __init__(
        self, size: int, *, begin: int | None = None, end: int | None = None, pad: int = 0
    ) -> None:
        self.size, self.pad_id = size, pad
        self._before = () if begin is None else (begin,)
        self._behind = () if end is None else (end,)
        self.prefix, self.suffix = len(self._before), len(self._behind)
        self.name = f"{size} words between {self._before} and {self._behind}, then {pad}"
        self._spelled: dict[int, str] = {PLACEHOLDER: SIGN}

    @property
    def fingerprint(self) -> str:
        return self.name

    def ids(self, text: str, added_token: str | None = None) -> tuple[int, ...]:
        return self.around(self._number(word) for word in text.split())

    def prompt_ids(
        self, prompt: str, placeholder: str, added_token: str | None = None
    ) -> tuple[int, ...]:
        words = prompt.split()
        return self.around(PLACEHOLDER if w == placeholder else self._number(w) for w in words)

    def placeholder_id(self, placeholder: str, added_token: str | None = None) -> int:
        return PLACEHOLDER

    def words(self, ids: tuple[int, ...], added_token: str | None = None) -> str:
        return " ".join(self._spelled[i] for i in ids[self.prefix : len(ids) - self.suffix])

    def normal(self, text: str) -> str:
        return text.lower()

    def around(self, words: Any) -> tuple[int, ...]:
        """A text of some words' ids, with what begins and ends it."""
        return (*self._before, *words, *self._behind)

    def some_words(self, count: int, generator: torch.Generator) -> list[int]:
        """Ids of random words."""
        return torch.randint(
            PLACEHOLDER + 1, self.size - MARGIN, (count,), generator=generator
        ).tolist()

    def _number(self, word: str) -> int:
        first = PLACEHOLDER + 1
        number = first + zlib.crc32(word.encode()) % (self.size - MARGIN - first)
        self._spelled[number] = word
        return number


@dataclass(frozen=True)
class Case:
    """A model of somebody else's, and its own way of encoding ids."""

    name: str
    model: nn.Module
    encode: Callable[[Tensor], Tensor]
    """[B, embed_dim] of padded ids [B, context_length], by the library's own forward."""
    embedding: nn.Module
    """Its token embedding."""
    words: WordIds
    context_length: int
    unit: bool = False
    """Whether `encode` gives unit vectors."""

    def tower(self) -> TextTower:
        """Ours, made of the model."""
        tower = tower_from_model(self.model).requires_grad_(False)
        tower.vocabulary = self.words
        return tower

    def ids(self, placeholders: int = 0, seed: int = 0) -> Tensor:
        """[5, context_length]: texts of one word up to the whole context, with placeholders
        anywhere; the longest has one placeholder less where there are several."""
        generator = torch.Generator().manual_seed(seed)
        room = self.context_length - self.words.prefix - self.words.suffix
        rows = torch.full((5, self.context_length), self.words.pad_id)
        for row, count in enumerate([1, 4, room // 2, room - 1, room]):
            words = self.words.some_words(max(count, placeholders), generator)
            wanted = placeholders - 1 if row == 4 and placeholders > 1 else placeholders
            for place in torch.randperm(len(words), generator=generator)[:wanted].tolist():
                words[place] = PLACEHOLDER
            text = self.words.around(words)
            rows[row, : len(text)] = torch.tensor(text)
        return rows

    @torch.no_grad()
    def encode_with(self, ids: Tensor, pseudo: Tensor) -> Tensor:
        """The library's own forward, with row b's n-th placeholder embedding swapped for
        pseudo[b, n]."""

        def swap(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
            output = output.clone()  # BLIP adds positions in place
            for row, text in enumerate(ids.tolist()):
                places = [place for place, token in enumerate(text) if token == PLACEHOLDER]
                for turn, place in enumerate(places):
                    output[row, place] = pseudo[row, turn]
            return output

        hook = self.embedding.register_forward_hook(swap)
        try:
            return self.encode(ids)
        finally:
            hook.remove()
