"""Seeded orders of any length in constant memory: a shuffle, and what a run draws from a corpus."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

ROUNDS = 4
LARGEST_HOLDOUT = 512
SHUFFLE, PLAIN, NOISE, WORDS = 1, 2, 3, 4  # independent streams of one seed


class ShuffledOrder:
    """A pseudo-random permutation of `range(length)`; `order[i]` is computed, never stored.

    A balanced Feistel network over the next even power of two, walked until it lands inside the
    range (cycle walking), so ten million triplets cost no more memory than ten.
    """

    def __init__(self, length: int, *seed: int) -> None:
        self.length = length
        self._half_bits = max(1, ((max(length, 2) - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half_bits) - 1
        digest = hashlib.sha256(repr(seed).encode()).digest()
        self._keys = [int.from_bytes(digest[8 * i : 8 * i + 8], "little") for i in range(ROUNDS)]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.length:
            raise IndexError(f"{index} is outside range({self.length})")
        place = self._permute(index)
        while place >= self.length:
            place = self._permute(place)
        return place

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Many at once: `order[i]` of each of [N] indices, which are inside the range."""
        places = self._permuted(indices.astype(np.uint64))
        outside = places >= self.length
        while outside.any():
            places[outside] = self._permuted(places[outside])
            outside = places >= self.length
        return places.astype(np.int64)

    def _permuted(self, values: np.ndarray) -> np.ndarray:
        """`_permute` of each."""
        shift, mask = np.uint64(self._half_bits), np.uint64(self._mask)
        left, right = values >> shift, values & mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right ^ np.uint64(key)) & mask)
        return left << shift | right

    def _permute(self, value: int) -> int:
        left, right = value >> self._half_bits, value & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return left << self._half_bits | right


class Draws:
    """Which of a corpus's things a run holds out, and which it draws: endless, reshuffled each time
    all have had their turn.

    Everything follows from seed and position, so a resumed run sees what it would have.

    Args:
        length: of the corpus.
        seed: of the run.
    """

    def __init__(self, length: int, seed: int) -> None:
        self._seed, self._split = seed, ShuffledOrder(length, seed)
        self.holdout = min(LARGEST_HOLDOUT, length // 10)
        self.trained = length - self.holdout

    def held_out(self) -> list[int]:
        """Places of what is held out."""
        return [self._split[place] for place in range(self.holdout)]

    def place(self, position: int, purpose: int = SHUFFLE) -> int:
        """The place of what is drawn at a position, counted from 0, of the order of a purpose."""
        epoch, turn = divmod(position, self.trained)
        order = _order(self.trained, self._seed, purpose, epoch)
        return self._split[self.holdout + order[turn]]

    def places(self, positions: range, purpose: int = SHUFFLE) -> list[int]:
        """The places of what is drawn at some positions, one after another."""
        places: list[int] = []
        while positions:
            epoch, turn = divmod(positions.start, self.trained)
            own = positions[: self.trained - turn]  # the rest is another epoch's
            turns = np.arange(turn, turn + len(own))
            order = _order(self.trained, self._seed, purpose, epoch)
            places += self._split.take(self.holdout + order.take(turns)).tolist()
            positions = positions[len(own) :]
        return places

    def noise_seed(self, number: int) -> int:
        """Of the noise of a batch, by its number."""
        return ShuffledOrder(1 << 62, self._seed, NOISE)[number]


@lru_cache(maxsize=16)
def _order(length: int, *seed: int) -> ShuffledOrder:
    """A batch asks for the same few orders again and again."""
    return ShuffledOrder(length, *seed)


def _mixed(values: np.ndarray) -> np.ndarray:
    """`_mix` of each of [N] uint64, which wrap round by themselves."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


def _mix(value: int) -> int:
    """The finaliser of SplitMix64: every input bit reaches every output bit."""
    value &= 0xFFFFFFFFFFFFFFFF
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    value = (value ^ value >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return value ^ value >> 31
