"""A seeded shuffle of any length in constant memory."""

from __future__ import annotations

import hashlib

ROUNDS = 4


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

    def _permute(self, value: int) -> int:
        left, right = value >> self._half_bits, value & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return left << self._half_bits | right


def _mix(value: int) -> int:
    """The finaliser of SplitMix64: every input bit reaches every output bit."""
    value &= 0xFFFFFFFFFFFFFFFF
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    value = (value ^ value >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return value ^ value >> 31
