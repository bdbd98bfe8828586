"""Texts that were met before, in eight bytes and a set's overhead each."""

from __future__ import annotations

from hashlib import blake2b


class Seen:
    """Remembers texts by 64 bits of their hash."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    def is_new(self, text: str) -> bool:
        """Whether the text has not been asked about before."""
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if key in self._keys:
            return False
        self._keys.add(key)
        return True
