"""Which words of a corpus stand together: counted once, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.language.tokens import UNSAID, Token

WORDS = 4096
"""Counted: every listed term, then others as they come; two tables of so many squared."""
HELD = 1 << 18
"""Pairs that are held before they are added up."""
SMOOTHING = 0.5
EDGE = ""
"""Stands before the first word and behind the last."""


class Company:
    """Counts of words, of pairs in one caption, and of neighbours.

    Neighbours are counted without articles and possessives, and across adjectives and numbers:
    "wearing a red wool hat" has (wearing, red), (wearing, wool), (wearing, hat), (red, wool),
    (red, hat) and (wool, hat).
    """

    def __init__(self, kinds: Kinds) -> None:
        self.captions = 0
        self._places: dict[str, int] = {EDGE: 0}
        for term in kinds.terms():
            self._places.setdefault(term, len(self._places))
        size = max(WORDS, len(self._places))
        self._size = size
        self._single = np.zeros(size, np.int64)
        self._together = np.zeros(size * size, np.int32)
        self._neighbours = np.zeros(size * size, np.int32)
        self._sums: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def count(self, sentences: Iterable[Sequence[Token]]) -> Company:
        """Add sentences, read once; returns itself."""
        single: list[int] = []
        together: list[int] = []
        neighbours: list[int] = []
        for sentence in sentences:
            self.captions += 1
            single += {self._admitted(t.term) for t in sentence if t.is_word} - {-1}
            own = {self._admitted(t.term) for t in sentence if t.is_content} - {-1}
            together += [a * self._size + b for a in own for b in own if a != b]
            neighbours += self._pairs(sentence)
            if len(together) > HELD:
                self._add(single, together, neighbours)
                single, together, neighbours = [], [], []
        self._add(single, together, neighbours)
        return self

    def seen(self, word: str) -> int:
        """Captions with the word."""
        return int(self._single[self._places[word]]) if word in self._places else 0

    def beside(self, left: str, right: str) -> int:
        """How often one word came right before the other."""
        a, b = self._places.get(left), self._places.get(right)
        return 0 if a is None or b is None else int(self._neighbours[a * self._size + b])

    def together(self, word: str, other: str) -> int:
        """Captions with both of two words."""
        a, b = self._places.get(word), self._places.get(other)
        return 0 if a is None or b is None else int(self._together[a * self._size + b])

    def affinity(self, word: str, other: str, less: int = 0) -> float:
        """Log of how much oftener two words are in one caption than by chance, smoothed; 0 where
        nothing is known. `less` captions that hold both are left out of the counts."""
        return self._lift(word, other, self._together, less)

    def attraction(self, left: str, right: str, less: int = 0) -> float:
        """The same of one word right before the other."""
        return self._lift(left, right, self._neighbours, less)

    def _lift(self, one: str, other: str, pairs: NDArray[np.int32], less: int) -> float:
        a, b = self._places.get(one), self._places.get(other)
        if a is None or b is None or self.captions <= less:
            return 0.0
        first, second = max(0, self._single[a] - less), max(0, self._single[b] - less)
        expected = first * second / (self.captions - less)
        found = max(0, pairs[a * self._size + b] - less)
        return log((found + SMOOTHING) / (expected + SMOOTHING))

    def adjacency(self, left: str, right: str, less: int = 0) -> float:
        """Log of how much oftener one word comes right before the other than the neighbours of both
        would have it, smoothed; 0 where nothing is known. It counts ends of captions, which
        `attraction` does not. `less` places are left out of the counts."""
        a, b = self._places.get(left), self._places.get(right)
        if a is None or b is None:
            return 0.0
        before, behind = self._margins()
        total = max(1, int(before.sum()) - less)
        expected = max(0, before[a] - less) * max(0, behind[b] - less) / total
        found = max(0, self._neighbours[a * self._size + b] - less)
        return log((found + SMOOTHING) / (expected + SMOOTHING))

    def likeness(self, one: str, other: str) -> float:
        """Cosine of what stands beside two words, each neighbour weighted by the root of its
        count, in [0, 1]; 0 where nothing is known."""
        a, b = self._places.get(one), self._places.get(other)
        if a is None or b is None:
            return 0.0
        first, second = self._surroundings(a), self._surroundings(b)
        length = float(np.linalg.norm(first) * np.linalg.norm(second))
        return float(first @ second) / length if length else 0.0

    def _margins(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[size] how often each word has a right neighbour, and a left one."""
        if self._sums is None:
            table = self._neighbours.reshape(self._size, self._size)
            self._sums = table.sum(axis=1, dtype=np.int64), table.sum(axis=0, dtype=np.int64)
        return self._sums

    def _surroundings(self, place: int) -> NDArray[np.float64]:
        """[2 size] what comes before and behind a word."""
        table = self._neighbours.reshape(self._size, self._size)
        return np.sqrt(np.concatenate([table[:, place], table[place]]).astype(np.float64))

    def _pairs(self, sentence: Sequence[Token]) -> list[int]:
        pairs: list[int] = []
        open_places = {0}
        for token in sentence:
            if token.text in UNSAID:
                continue
            place = self._admitted(token.term) if token.is_word else 0
            if place >= 0:
                pairs += [before * self._size + place for before in open_places - {-1}]
            open_places = open_places | {place} if token.is_modifier else {place}
        return pairs + [before * self._size for before in open_places - {0, -1}]

    def _admitted(self, word: str) -> int:
        """Its place in the tables; -1 where they are full."""
        if word not in self._places:
            if len(self._places) == self._size:
                return -1
            self._places[word] = len(self._places)
        return self._places[word]

    def _add(self, single: list[int], together: list[int], neighbours: list[int]) -> None:
        self._sums = None
        for table, pairs in (
            (self._single, single),
            (self._together, together),
            (self._neighbours, neighbours),
        ):
            places, counts = np.unique(np.array(pairs, np.int64), return_counts=True)
            table[places] += counts.astype(table.dtype)
