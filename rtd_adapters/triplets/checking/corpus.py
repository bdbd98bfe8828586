"""What a set of captions says of English: which words stand together, and how they are used."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from rtd_adapters.triplets.checking.usage import Usage
from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.kinds import Kinds, read_kinds
from rtd_adapters.triplets.language.tokens import Token, tokens

SAMPLE = 2000
"""Captions that show what real ones reach."""
THIN_FROM = 1 << 18
"""Captions from which on every second is counted, from twice as many every fourth, and so on."""


class Corpus:
    """What captions say together and how they use words, counted in one pass, bounded memory."""

    def __init__(self, kinds: Kinds | None = None, seed: int = 0) -> None:
        self.kinds = kinds or read_kinds()
        self.company = Company(self.kinds)
        self.usage = Usage()
        self.seen = 0
        """Captions, counted or passed over."""
        self.sample: list[list[Token]] = []
        self._draw = random.Random(seed)

    def add(self, captions: Iterable[str]) -> Corpus:
        """Count captions, read once; returns itself."""
        self.company.count(self._counted(captions))
        return self

    def _counted(self, captions: Iterable[str]) -> Iterator[list[Token]]:
        for caption in captions:
            self.seen += 1
            if self.seen % _stride(self.seen):
                continue
            sentence = tokens(caption, self.kinds)
            self.usage.count(sentence)
            self._keep(sentence)
            yield sentence

    def _keep(self, sentence: list[Token]) -> None:
        counted = self.company.captions + 1
        if len(self.sample) < SAMPLE:
            self.sample.append(sentence)
        elif (place := self._draw.randrange(counted)) < SAMPLE:
            self.sample[place] = sentence


def _stride(number: int) -> int:
    """Of how many captions one is counted: all at first, fewer from `THIN_FROM` on."""
    return 1 << (number // THIN_FROM).bit_length()
