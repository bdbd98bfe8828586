"""OpenAI's byte pairs by open_clip's `SimpleTokenizer`, whose results it gives, faster.

Two of its parts cost nearly all of its time and change nothing for most texts. Repairs (ftfy) and
unescaping leave printable ASCII without `&` as it is; and a text is made of words that were met
before, whose ids are kept. Held to open_clip's own on a hundred thousand texts
(tests/clip/text/test_byte_pairs.py).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

ADDED_ID = 49405
"""Of the last merge, whose place a method's own token takes."""
MOST_WORDS = 1 << 18
"""Whose ids are kept; the table begins anew when it is full."""
ASCII_WORDS = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+"
"""open_clip's pattern, where letters and digits are ASCII's and lower case."""


class BytePairEncoder:
    """Ids of whole texts.

    Args:
        added_token: a token that takes the id of the last merge; none by default.
    """

    def __init__(self, added_token: str | None = None) -> None:
        from open_clip.tokenizer import SimpleTokenizer

        self._bpe: Any = SimpleTokenizer()
        if added_token is not None:
            _replace_last_merge(self._bpe, added_token)
        added = "" if added_token is None else f"{re.escape(added_token)}|"
        self._ascii = re.compile(added + ASCII_WORDS)
        self._words: dict[str, tuple[int, ...]] = {}

    def ids(self, text: str) -> tuple[int, ...]:
        """SOT, the text, EOT."""
        cleaned = self.clean(text)
        pattern = self._ascii if cleaned.isascii() else self._bpe.pat
        ids = [self._bpe.sot_token_id]
        for word in pattern.findall(cleaned):
            ids += self._words.get(word) or self._meet(word)
        ids.append(self._bpe.eot_token_id)
        return tuple(ids)

    def clean(self, text: str) -> str:
        """Repaired, unescaped, its spaces made one, lower case."""
        if text.isascii() and text.isprintable() and "&" not in text:
            return " ".join(text.split()).lower()
        return str(self._bpe.clean_fn(text))

    def decode(self, ids: tuple[int, ...]) -> str:
        """The text of some ids."""
        return str(self._bpe.decode(ids))

    def _meet(self, word: str) -> tuple[int, ...]:
        if len(self._words) >= MOST_WORDS:
            self._words.clear()
        spelled = "".join(self._bpe.byte_encoder[byte] for byte in word.encode())
        ids = tuple(self._bpe.encoder[piece] for piece in self._bpe.bpe(spelled).split(" "))
        self._words[word] = ids
        return ids


@lru_cache(maxsize=4)
def byte_pairs(added_token: str | None = None) -> BytePairEncoder:
    """The encoder for a method's added token, if it has one; made once."""
    return BytePairEncoder(added_token)


def _replace_last_merge(bpe: Any, token: str) -> None:
    import regex  # type: ignore[import-untyped]

    last = max(bpe.bpe_ranks, key=bpe.bpe_ranks.__getitem__)
    del bpe.bpe_ranks[last]
    del bpe.encoder["".join(last)]
    bpe.encoder[token] = ADDED_ID
    bpe.decoder[ADDED_ID] = token
    bpe.cache[token] = token
    bpe.pat = regex.compile(f"{regex.escape(token)}|{bpe.pat.pattern}", bpe.pat.flags)
