"""Whether a change keeps to one attribute: a colour for a colour, an animal for an animal."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rtd_adapters.triplets.checking.changes import Change, Phrase
from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.language.tokens import Token

FAMILIES = (
    "person, adult, child, role",
    "animal, wild animal",
    "vehicle, rideable, watercraft, aircraft, board",
    "fruit, vegetable, meal, dessert",
    "headwear, top, bottom, bottoms, footwear, eyewear, accessory, neckline",
    "sleeve, fit",
    "room, town, landscape, ground, water",
    "building, structure",
    "seat, furniture, appliance, bathroom, device, light, fabric, plant",
    "vessel, cutlery, tableware, fruit, meal",
    "size, length, height, width",
    "age, wear, cleanness",
    "pattern, material, colour, shade, surface",
    "toy, tool, instrument, reading, board, rideable, device, sport",
    "posture, motion, look, mood",
    "time, season, weather, wetness",
    "fill, openness",
)
"""Kinds so near that a word of one may stand in for a word of another."""
PEOPLE = frozenset({"person", "people"})
"""Whom the list of kinds leaves out, for nothing says less."""
SEEN = 5
"""Captions with a word, below which its company says nothing."""
MOST = 2
"""Changes of one triplet."""
ALIKE, NEARLY_SAME = 0.6, 0.85
"""Least likeness of two words one of which no list knows, and of two of different kinds. Set on the
tuned half of tests/triplets/judgements."""


def keeps_attribute(change: Change, kinds: Kinds, company: Company, *, believed: bool) -> bool:
    """Whether at most `MOST` attributes changed, each to another value of its own.

    A phrase that is added or taken away is one change. Words that no list knows are compared by
    the company they keep; where too little of them was seen, `believed` says what to think.
    """
    left, came = list(change.left), list(change.came)
    swaps = 0

    def alike(one: Token, other: Token) -> bool:
        first, second = _families(one, kinds), _families(other, kinds)
        if not first.isdisjoint(second):
            return True
        if min(company.seen(one.term), company.seen(other.term)) < SEEN:
            return believed and not (first and second)
        least = NEARLY_SAME if first and second else ALIKE
        return company.likeness(one.term, other.term) >= least

    for phrase in change.came:
        match = next((other for other in left if _match(other, phrase, alike)), None)
        if match:
            left.remove(match)
            came.remove(phrase)
            swaps += min(len(match), len(phrase))
    return not (left and came) and swaps + len(left) + len(came) <= MOST


def stands_in(phrase: Phrase, left: Iterable[Phrase], kinds: Kinds) -> bool:
    """Whether a phrase came for one of its kind, by the list of kinds."""
    own = _families(phrase[-1], kinds)
    return any(not own.isdisjoint(_families(other[-1], kinds)) for other in left)


def _match(one: Phrase, other: Phrase, alike: Callable[[Token, Token], bool]) -> bool:
    """Whether two phrases may say something of one attribute: their heads do, or the words that
    say more of heads that are the same."""
    return alike(one[-1], other[-1]) or (
        len(one) > 1 and len(other) > 1 and one[-1].term == other[-1].term
    )


def _families(token: Token, kinds: Kinds) -> set[str]:
    """Every kind of a word, and the kinds near them."""
    own = {reading.kind for reading in kinds.readings(token.term)}
    own |= {"person"} if token.text in PEOPLE else set()
    return own.union(*(NEAR[kind] for kind in own if kind in NEAR))


def _near() -> dict[str, set[str]]:
    near: dict[str, set[str]] = {}
    for line in FAMILIES:
        kinds = {kind.strip() for kind in line.split(",")}
        for kind in kinds:
            near.setdefault(kind, set()).update({line})
    return near


NEAR = _near()
