"""What can be wrong with a triplet, apart from a form that cannot be read at all."""

from __future__ import annotations

import re
import unicodedata

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.seen import Seen

REPEATED = "repeated triplet"
NEAR_REPEATED = "nearly repeated triplet"
UNCHANGED = "target equals reference"
FOREIGN = "not in Latin letters"
PLACEHOLDER = "placeholder or special token in a text"
DAMAGED = "damaged characters"
DROPPED = (REPEATED, UNCHANGED, FOREIGN)
"""Flaws for which `clean` drops a triplet; it takes placeholders out and keeps the rest."""

PLACEHOLDERS = ("$", "*")
"""The published methods' own; Context-I2W's is among the special tokens."""
MOJIBAKE = re.compile("\ufffd|Ã[\u0080-\u00bf]|â€|[\u0000-\u0008\u000e-\u001f]")
WORDS = re.compile(r"\w+")
FOREIGN_SHARE = 0.5


class Sieve:
    """Names the flaws of one triplet after the other; it remembers those it has seen."""

    def __init__(self) -> None:
        self._seen = Seen()
        self._cleaners = [Tokenizer(placeholder=sign) for sign in PLACEHOLDERS]

    def flaws(self, triplet: Triplet) -> list[str]:
        """Names of what is wrong; none for a good one. 16 bytes of memory a triplet."""
        normal = [" ".join(words(text)) for text in _texts(triplet)]
        names = []
        if not self._seen.is_new("\n".join(text.casefold().strip() for text in _texts(triplet))):
            names.append(REPEATED)
        elif not self._seen.is_new("~" + " ".join(sorted(" ".join(normal).split()))):
            names.append(NEAR_REPEATED)
        return names + self.flaws_within(triplet)

    def flaws_within(self, triplet: Triplet) -> list[str]:
        """Names of what is wrong with a triplet by itself, whichever came before it."""
        texts, names = _texts(triplet), []
        if words(triplet.reference) == words(triplet.target):
            names.append(UNCHANGED)
        if any(map(is_foreign, texts)):
            names.append(FOREIGN)
        if any(self.without_placeholders(text) != text for text in texts):
            names.append(PLACEHOLDER)
        if any(map(MOJIBAKE.search, texts)):
            names.append(DAMAGED)
        return names

    def clean(self, triplet: Triplet) -> Triplet | None:
        """The triplet without placeholders and outer space, or None where it is to be dropped."""
        if any(flaw in DROPPED for flaw in self.flaws(triplet)):
            return None
        kept = [" ".join(self.without_placeholders(text).split()) for text in _texts(triplet)]
        return Triplet(*kept) if all(kept) else None

    def without_placeholders(self, text: str) -> str:
        """The text as every published method may read it."""
        for cleaner in self._cleaners:
            text = cleaner.clean(text)
        return text


def _texts(triplet: Triplet) -> tuple[str, str, str]:
    return triplet.reference, triplet.conditioning, triplet.target


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return WORDS.findall(text.casefold())


def is_foreign(text: str) -> bool:
    """Whether most letters are of another script than CLIP's training captions mostly use."""
    if text.isascii():
        return False
    letters = [sign for sign in text if sign.isalpha()]
    foreign = [sign for sign in letters if not unicodedata.name(sign, "").startswith("LATIN")]
    return len(foreign) > FOREIGN_SHARE * len(letters)
