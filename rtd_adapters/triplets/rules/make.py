"""Makes the triplets of captions, one after the other, and counts what became of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.language.tokens import tokens
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.rules.draws import Drawn, drawn_triplets
from rtd_adapters.triplets.rules.likeness import Likeness
from rtd_adapters.triplets.rules.real import RealTargets
from rtd_adapters.triplets.rules.settings import RuleCounts, RuleSettings
from rtd_adapters.triplets.seen import Seen

BATCH = 64
"""Captions whose triplets are embedded together."""
TRIED = 4
"""Triplets of a caption among which a backbone chooses."""


@dataclass
class Maker:
    """What triplets are made with."""

    kinds: Kinds
    company: Company
    real: RealTargets | None
    likeness: Likeness | None
    settings: RuleSettings
    counts: RuleCounts

    def make(self, captions: Iterable[str]) -> Iterator[Triplet]:
        """Triplets of all captions, no caption and no triplet twice; fills the counts."""
        seen = Seen()
        most = self.settings.per_caption
        tried = most if self.likeness is None else max(TRIED, most)
        drawn = self._drawn(captions)
        while batch := [list(islice(found, tried)) for found in islice(drawn, BATCH)]:
            chosen = self.likeness.choose(batch) if self.likeness else batch
            for found, kept in zip(batch, chosen, strict=True):
                fresh = [d for d in kept if seen.is_new(_pair(d.triplet))]
                if not found:
                    self.counts.dropped["nothing in it can be changed"] += 1
                elif not kept:
                    self.counts.dropped["every change is unlike the captions"] += 1
                elif not fresh:
                    self.counts.dropped["every change repeats another"] += 1
                for one in fresh[:most]:
                    self.counts.real += one.is_real
                    yield one.triplet

    def _drawn(self, captions: Iterable[str]) -> Iterator[Iterator[Drawn]]:
        """What could be made of each new caption, in the order in which it is tried."""
        seen = Seen()
        for number, caption in enumerate(captions):
            self.counts.captions += 1
            if not caption:
                self.counts.dropped["empty caption"] += 1
            elif not seen.is_new(caption.lower()):
                self.counts.dropped["repeated caption"] += 1
            else:
                yield self._of_one(caption, random.Random(f"{self.settings.seed} {number}"))

    def _of_one(self, caption: str, draw: random.Random) -> Iterator[Drawn]:
        sentence = tokens(caption, self.kinds)
        made = drawn_triplets(caption, sentence, self.kinds, self.company, draw)
        if self.real is None or draw.random() >= self.settings.real:
            return made
        found = self.real.triplets(caption, sentence, draw)
        return chain((Drawn(triplet, is_real=True) for triplet in found), made)


def _pair(triplet: Triplet) -> str:
    return f"{triplet.reference}\n{triplet.target}".lower()
