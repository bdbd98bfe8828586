"""Whether a made caption is like the real ones, by a frozen text tower. Our own idea."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice

import torch
from torch import Tensor

from rtd_adapters.triplets.encoder import Embed
from rtd_adapters.triplets.rules.draws import Drawn

REAL = 20_000
"""Captions at the beginning of the corpus with which made ones are compared."""
ROWS = 512
SLACK = 0.05
"""How much farther from the next real caption a made one may be than the one it was made of."""
SAME = 1 - 1e-5


class Likeness:
    """Chooses among the triplets of a caption those whose both captions are as near to a real
    caption, other than themselves, as real captions are to each other."""

    def __init__(self, embed: Embed, captions: Iterable[str], band: tuple[float, float]) -> None:
        """`band`: least and greatest cosine between reference and target caption."""
        self._embed, self._band = embed, band
        texts = list(dict.fromkeys(caption for caption in islice(captions, REAL) if caption))
        self._real = self._units(texts) if texts else torch.empty(0, 0)

    def choose(self, batch: Sequence[Sequence[Drawn]]) -> list[list[Drawn]]:
        """Of each list the triplets that pass, the likest first."""
        flat = [drawn for found in batch for drawn in found]
        if not flat:
            return [[] for _ in batch]
        pairs = [(drawn.triplet.reference, drawn.triplet.target) for drawn in flat]
        texts = {text: place for place, text in enumerate(dict.fromkeys(chain(*pairs)))}
        units = self._units(list(texts))
        reference = units[[texts[text] for text, _ in pairs]]
        target = units[[texts[text] for _, text in pairs]]
        between = (reference * target).sum(1)
        nearest = torch.stack([self._nearest(reference), self._nearest(target)])
        least = nearest.amin(0)
        passes = (between >= self._band[0]) & (between <= self._band[1])
        passes &= least >= nearest.amax(0) - SLACK
        kept, ranks, start = passes.tolist(), least.tolist(), 0
        chosen = []
        for triplets in batch:
            places = [n for n in range(start, start + len(triplets)) if kept[n]]
            chosen.append([flat[n] for n in sorted(places, key=lambda n: -ranks[n])])
            start += len(triplets)
        return chosen

    def _nearest(self, units: Tensor) -> Tensor:
        """[N] cosine of each row with the next real caption that is another one."""
        cosines = units @ self._real.T
        return cosines.masked_fill(cosines > SAME, -1.0).amax(1)

    def _units(self, texts: Sequence[str]) -> Tensor:
        rows = [self._embed(texts[n : n + ROWS]).float() for n in range(0, len(texts), ROWS)]
        return torch.nn.functional.normalize(torch.cat(rows), dim=1)
