"""Batches of cleaned triplets, each a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from rtd_adapters.clip.text import Tokenizer, clean_caption, clean_conditioning
from rtd_adapters.errors import TripletError
from rtd_adapters.training.order import PLAIN, SHUFFLE, Draws
from rtd_adapters.training.packs import Packs
from rtd_adapters.triplets import Triplet


@dataclass(frozen=True)
class TripletBatch:
    """B triplets, cleaned, and the seed of the noise that belongs to them."""

    references: list[str]
    conditioning: list[str]
    targets: list[str]
    plain: list[str] = field(default_factory=list)
    """Captions for `keep_alignment`, drawn apart so that no anchor stands twice in the batch."""
    noise_seed: int = 0
    first: int = 0
    """Place of the first row in the whole batch, where this is a part of one."""
    whole: int | None = None
    """Rows of the whole batch; its own where it is no part."""
    packs: Packs | None = field(default=None, compare=False, repr=False)
    """Of its texts, where somebody has made them ahead."""

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, rows: slice) -> TripletBatch:
        """Some of the rows, with the noise that is theirs in the whole batch."""
        return TripletBatch(
            self.references[rows],
            self.conditioning[rows],
            self.targets[rows],
            self.plain[rows],
            self.noise_seed,
            first=self.first + rows.start,
            whole=self.whole or len(self),
            packs=self.packs,
        )

    def generator(self) -> torch.Generator:
        """A fresh generator for this batch's noise."""
        return torch.Generator().manual_seed(self.noise_seed)


class TripletStream:
    """An endless, reshuffled stream over all triplets but a held-out slice.

    A batch depends on the seed and its number alone, so a resumed run sees what it would have.

    Raises:
        TripletError: there are too few triplets for one batch.
    """

    def __init__(
        self,
        triplets: Sequence[Triplet],
        tokenizer: Tokenizer,
        *,
        batch_size: int,
        seed: int,
        keep_alignment: bool = False,
    ) -> None:
        self._triplets = triplets
        self.tokenizer = tokenizer
        self._batch_size = batch_size
        self._keep_alignment = keep_alignment
        self._draws = Draws(len(triplets), seed)
        self.holdout, self.trained = self._draws.holdout, self._draws.trained
        if self.trained < batch_size:
            raise TripletError(
                f"{len(triplets)} triplets ({self.holdout} of them held out) do not fill one batch "
                f"of {batch_size}. Lower --batch-size or bring more triplets."
            )

    def batch(self, number: int) -> TripletBatch:
        """The batch of that number, counted from 0."""
        positions = range(number * self._batch_size, (number + 1) * self._batch_size)
        rows = self._drawn(positions, SHUFFLE)
        plain = []
        if self._keep_alignment:
            plain = [row.target for row in self._drawn(positions, PLAIN)]
        return TripletBatch(
            references=[clean_caption(row.reference, self.tokenizer) for row in rows],
            conditioning=[clean_conditioning(row.conditioning, self.tokenizer) for row in rows],
            targets=[clean_caption(row.target, self.tokenizer) for row in rows],
            plain=[clean_caption(text, self.tokenizer) for text in plain],
            noise_seed=self._draws.noise_seed(number),
        )

    def held_out(self) -> TripletBatch:
        """The held-out slice as one batch, for validation."""
        rows = [self._triplets[place] for place in self._draws.held_out()]
        return TripletBatch(
            references=[clean_caption(row.reference, self.tokenizer) for row in rows],
            conditioning=[clean_conditioning(row.conditioning, self.tokenizer) for row in rows],
            targets=[clean_caption(row.target, self.tokenizer) for row in rows],
        )

    def _drawn(self, positions: range, purpose: int) -> list[Triplet]:
        return [self._triplets[place] for place in self._draws.places(positions, purpose)]
