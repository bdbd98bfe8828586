"""What is wrong with a conditioning text: as English, and as a request for its target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rtd_adapters.triplets.checking.changes import MEDIUM
from rtd_adapters.triplets.checking.grammar import AGREEMENT, errors, is_many, run_after
from rtd_adapters.triplets.checking.usage import Usage, is_number
from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.language.tokens import ARTICLES, POSSESSIVES, Token, tokens
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.word_list import word_set

VERBS = word_set(
    "replace replaced replaces swap swapped swaps exchange exchanged trade substitute change "
    "changed changes turn turned turns convert converted transform transformed switch switched go "
    "goes move alter modify rework redo update adapt make makes made become becomes let stand show "
    "shows use have has had give gives prefer choose pick select take takes taken bring put keep "
    "keeps want need remove removed removes delete drop lose loses lost gain gained get add adds "
    "added"
)
ADVERBS = word_set("instead rather longer gone away now else place")
ASKING = VERBS | ADVERBS
"""What a request is made of, and says nothing of a picture."""
NEUTRAL = "then"
"""Stands for such a word when English is looked at: neither noun nor article nor preposition."""
VAGUE = (
    ASKING
    | MEDIUM
    | word_set(
        "something anything similar different same version scene please look looks looking find "
        "see way time thing things person people them it "
        "color colour size shape style type kind place left right side "
        "above below"
    )
)
TAKING = word_set(
    "remove removes removed delete drop without no not lose loses lost longer gone "
    "away out less fewer than of over"
)
"""After or before them stands what goes."""
ONE, TWO = word_set("one single alone only"), word_set("two pair couple both")
PLAIN = frozenset({"colour", "number"})
"""Kinds of adjectives that stand for themselves: "change red to blue"."""
HEADLESS = "adjective for a thing"
UNANSWERED_SHARE = 0.5
"""Of what a text names; beyond it the target does something else. Ours."""


def wording_errors(text: str, kinds: Kinds, usage: Usage) -> Counter[str]:
    """Name of an error of English to how often a conditioning text makes it."""
    words = tokens(text.lower(), kinds)
    asked = [_neutral(token) for token in words]
    start = Token(0, 0, NEUTRAL, NEUTRAL)
    found = errors([start, *asked], usage)
    for place, word in enumerate(words):
        run = [t for t in run_after(words, place) if t.text not in ADVERBS]
        if word.text in ("is", "was") and run and is_many(run[-1]) and not any(map(is_number, run)):
            found[AGREEMENT] += 1
    if _is_headless(words, usage):
        found[HEADLESS] += 1
    return found


def answers(triplet: Triplet, kinds: Kinds) -> bool:
    """Whether the target does what the conditioning text asks.

    Most words that the text names must have come, or have gone; one that it takes away must not
    have come; and where words came, the text must not name only what went.
    """
    asked = tokens(triplet.conditioning, kinds)
    before = [t for t in tokens(triplet.reference, kinds) if t.is_word]
    after = [t for t in tokens(triplet.target, kinds) if t.is_word]
    old, new = {_plain(t) for t in before}, {_plain(t) for t in after}
    gained, lost = new - old, old - new
    named = [t for t in asked if t.is_content and t.text not in VAGUE]
    came = [t for t in named if _is_among(t, gained, kinds)]
    went = [t for t in named if t not in came and _is_among(t, lost, kinds)]
    if not named:
        return True
    if not came and not went:
        stays = any(_is_taken(asked, t) and _plain(t) in new for t in named)
        return not stays and _counts(named, before, after)
    if any(_is_taken(asked, token) for token in came if not _is_among(token, lost, kinds)):
        return False
    if not came and any(t.is_content for t in after if _plain(t) in gained):
        return any(t.text in TAKING for t in asked)
    missing = [t for t in named if t not in came and t not in went and not _is_among(t, new, kinds)]
    return len(missing) <= UNANSWERED_SHARE * len(named)


def _neutral(token: Token) -> Token:
    return (
        replace(token, text=NEUTRAL, term=NEUTRAL, readings=()) if token.text in ASKING else token
    )


def _is_headless(words: Sequence[Token], usage: Usage) -> bool:
    """Whether a request for a change of things names none, as in "alter wooden to big"."""
    if not words or words[0].text not in VERBS or any(_names_a_thing(t) for t in words):
        return False
    named = [t for t in words if t.is_content and t.text not in ASKING]
    return any(_is_quality(t, usage) for t in named) and all(
        usage.is_adjective(t) for t in named if not t.is_noun
    )


def _is_quality(token: Token, usage: Usage) -> bool:
    return usage.is_adjective(token) and PLAIN.isdisjoint(r.kind for r in token.readings)


def _names_a_thing(token: Token) -> bool:
    return token.text in ARTICLES | POSSESSIVES | {"it", "them", "him", "her"} or token.is_noun


def _plain(token: Token) -> str:
    return "one" if token.text in ONE else "two" if token.text in TWO else token.term


def _is_among(token: Token, terms: set[str], kinds: Kinds) -> bool:
    own = _plain(token)
    return any(
        own == term or kinds.mean_the_same(own, term) or _is_form(own, term) for term in terms
    )


def _is_form(one: str, other: str) -> bool:
    """Whether two words are likely of one stem: sit and sitting, snow and snowy."""
    length = min(len(one), len(other))
    stem = max(3, length - 1)
    return length >= 3 and one[:stem] == other[:stem]


def _is_taken(asked: Sequence[Token], token: Token) -> bool:
    """Whether the text takes a thing away: the word before it and its article says so."""
    place = asked.index(token) - 1
    while place >= 0 and (asked[place].text in ARTICLES | POSSESSIVES or asked[place].is_modifier):
        place -= 1
    return place >= 0 and asked[place].text in ("remove", "delete", "without", "no", "than")


def _counts(named: Sequence[Token], before: Sequence[Token], after: Sequence[Token]) -> bool:
    """Whether a text that only says how many is answered: "one of them", of "two dogs"."""
    if not all(_plain(t) in ("one", "two") or t.term in {a.term for a in after} for t in named):
        return False
    return [t.text for t in before] != [t.text for t in after]
