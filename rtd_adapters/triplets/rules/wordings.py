"""How a person asks for a change: wordings by mood, so that two of one mood can be joined.

The three families are CompoDiff's (arXiv 2303.11916, keyword route): one thing in place of another,
one removed and another added, the target alone. Negations and the wording are ours.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from rtd_adapters.triplets.language.grammar import article
from rtd_adapters.triplets.language.kinds import ACTION, ADJECTIVE, NOUNS, NUMBER, SIDE
from rtd_adapters.triplets.rules.changes import Change

ORDER, CLAUSE, PREDICATE, PHRASE = "order", "clause", "predicate", "phrase"
"""Moods: "make it red", "the hat is red", "has a red hat", "a red hat"."""
Wordings = Mapping[str, Sequence[str]]
"""Mood -> forms with {old}, {new} and others in them."""

THING = ("{a_new}", "{a_new} instead", "{a_new} instead of {a_old}", "{a_new}, not {a_old}")
OBJECT: Wordings = {
    ORDER: (
        "replace the {old} with {a_new}",
        "swap the {old} for {a_new}",
        "change the {old} to {a_new}",
        "turn the {old} into {a_new}",
        "remove the {old} and add {a_new}",
        "take away the {old} and put in {a_new}",
        "show {a_new} instead of {a_old}",
        "make it {a_new} instead of {a_old}",
    ),
    CLAUSE: (
        "the {old} {is} replaced by {a_new}",
        "the {old} {is} gone and there {is} {a_new}",
        "there {is} {a_new} instead of {a_old}",
        "the {old} {is} now {a_new}",
    ),
    PREDICATE: (
        "has {a_new}",
        "has {a_new} instead of {a_old}",
        "has {a_new} in place of the {old}",
        "has {a_new} and no {old}",
        "shows {a_new}",
        "shows {a_new} instead of {a_old}",
        "shows {a_new}, not {a_old}",
    ),
    PHRASE: THING,
}
BEING: Wordings = {
    ORDER: (
        "replace the {old} with {a_new}",
        "swap the {old} for {a_new}",
        "change the {old} to {a_new}",
        "remove the {old} and add {a_new}",
        "show {a_new} instead of {a_old}",
    ),
    CLAUSE: (
        "the {old} {is} replaced by {a_new}",
        "there {is} {a_new} instead of {a_old}",
        "it is {a_new}, not {a_old}",
        "the {old} {is} gone and there {is} {a_new}",
    ),
    PREDICATE: (
        "shows {a_new}",
        "shows {a_new} instead of {a_old}",
        "has {a_new} instead of {a_old}",
        "has {a_new} in place of the {old}",
    ),
    PHRASE: THING,
}
PLACE: Wordings = {
    ORDER: (
        "change the {old} to {a_new}",
        "replace the {old} with {a_new}",
    ),
    CLAUSE: (
        "it is {at} {a_new}",
        "it is {at} {a_new} instead of {a_old}",
        "the {old} {is} replaced by {a_new}",
        "it is not {at} {a_old} but {at} {a_new}",
    ),
    PREDICATE: (
        "is {at} {a_new}",
        "is {at} {a_new} instead of {a_old}",
        "is {at} {a_new}, not {at} {a_old}",
        "has {a_new} instead of {a_old}",
    ),
    PHRASE: ("{at} {a_new}", "{at} {a_new} instead", "{at} {a_new} instead of {a_old}"),
}
GAME: Wordings = {
    ORDER: ("change {old} to {new}", "replace {old} with {new}", "make it {new} instead of {old}"),
    CLAUSE: ("it is {new}", "it is {new} instead of {old}", "it is {new}, not {old}"),
    PREDICATE: ("is about {new}", "shows {new}", "shows {new} instead of {old}"),
    PHRASE: ("{new}", "{new} instead", "{new} instead of {old}", "{new}, not {old}"),
}
QUALITY: Wordings = {
    ORDER: (
        "make the {noun} {new}",
        "make the {noun} {new} instead of {old}",
        "change the {old} {noun} to {a_new_noun}",
        "replace the {old} {noun} with {a_new_noun}",
        "swap the {old} {noun} for {a_new_noun}",
        "remove the {old} {noun} and add {a_new_noun}",
    ),
    CLAUSE: (
        "the {noun} {is} {new}",
        "the {noun} {is} {new} instead of {old}",
        "the {noun} {is} {new}, not {old}",
        "the {noun} {is} not {old} but {new}",
        "the {noun} {is} no longer {old} but {new}",
        "the {old} {noun} {is} replaced by {a_new_noun}",
    ),
    PREDICATE: (
        "has {a_new_noun}",
        "has {a_new_noun} instead of {a_old_noun}",
        "has {a_new_noun} in place of the {old} one{s}",
        "shows {a_new_noun}",
        "shows {a_new_noun}, not {a_old_noun}",
    ),
    PHRASE: (
        "{a_new_noun}",
        "{a_new_noun} instead",
        "{a_new_noun} instead of {a_old_noun}",
        "{new} instead of {old}",
    ),
}
AMOUNT: Wordings = {
    ORDER: (
        "show {new} {noun}",
        "show {new} {noun} instead of {old}",
        "make it {new} {noun}",
    ),
    CLAUSE: (
        "there {is} {new} {noun}",
        "there {is} {new} {noun} instead of {old}",
        "there {is} {new} {noun}, not {old}",
    ),
    PREDICATE: ("has {new} {noun}", "shows {new} {noun}", "has {new} {noun} instead of {old}"),
    PHRASE: ("{new} {noun}", "{new} {noun} instead of {old}", "{new} {noun}, not {old}"),
}
DOING: Wordings = {
    ORDER: ("make the {noun} be {new}", "show the {noun} {new} instead of {old}"),
    CLAUSE: (
        "the {noun} {is} {new}",
        "the {noun} {is} {new} instead of {old}",
        "the {noun} {is} not {old} but {new}",
        "the {noun} {is} {new}, not {old}",
    ),
    PREDICATE: ("shows the {noun} {new}", "shows the {noun} {new} instead of {old}"),
    PHRASE: ("{new} instead of {old}", "the {noun} {new}", "{new}, not {old}"),
}
ADDED: Wordings = {
    ORDER: ("add {a_new}", "put in {a_new}"),
    CLAUSE: ("there {is} {a_new}", "there {is} also {a_new}"),
    PREDICATE: ("has {a_new}", "also has {a_new}", "now has {a_new}", "comes with {a_new}"),
    PHRASE: ("with {a_new}", "{a_new} added"),
}
WORN: Wordings = {
    ORDER: ("add {a_new}", "put {a_new} on the {noun}"),
    CLAUSE: ("the {noun} {is} wearing {a_new}", "the {noun} {has} {a_new} on"),
    PREDICATE: ("has {a_new}", "shows the {noun} wearing {a_new}"),
    PHRASE: ("wearing {a_new}", "with {a_new}"),
}
REMOVED: Wordings = {
    ORDER: ("remove the {old}", "take away the {old}", "leave out the {old}"),
    CLAUSE: ("there {is} no {old}", "the {old} {is} gone", "the {old} {is} removed"),
    PREDICATE: ("has no {old}", "does not have the {old}", "no longer has the {old}"),
    PHRASE: ("without the {old}", "no {old}"),
}
SAID: Wordings = {
    ORDER: ("make the {noun} {new}",),
    CLAUSE: ("the {noun} {is} {new}",),
    PREDICATE: ("has {a_new_noun}", "shows {a_new_noun}"),
    PHRASE: ("{a_new_noun}", "with {a_new_noun}"),
}
SET: Wordings = {
    ORDER: ("set it {at} {a_new}",),
    CLAUSE: ("it is {at} {a_new}",),
    PREDICATE: ("is {at} {a_new}",),
    PHRASE: ("{at} {a_new}",),
}
ABOUT = 0.8
"""Share of predicates that say what the caption's first noun is, where one can."""
LIKELY = {ORDER: 1.0, CLAUSE: 1.0, PREDICATE: 8.0, PHRASE: 1.0}
"""How often each mood is drawn: a method's prompt is "a photo of $ that ..."."""
LONG = frozenset({",", "instead", "not", "place", "no"})
"""Words of forms that say what goes as well, and are not joined to others."""
ABOUT_QUALITY = (
    "is {new}",
    "is {new} instead of {old}",
    "is {new}, not {old}",
    "is not {old} but {new}",
    "is now {new}",
    "is {new} instead",
)
"""Predicates of what a caption is about; the subject is the picture's, in the singular."""
ABOUT_OBJECT = (
    "is {a_new}",
    "is {a_new} instead of {a_old}",
    "is {a_new}, not {a_old}",
    "is {a_new} instead",
    "is now {a_new}",
)
BEINGS = frozenset({"adult", "child", "role", "animal", "wild animal"})
JOINTS = {
    ORDER: (" and ", ", and ", ", then "),
    CLAUSE: (" and ", ", and "),
    PREDICATE: (" and ", ", and "),
    PHRASE: (" and ",),
}
"""Between two of one mood."""


def wordings_of(change: Change) -> Wordings:
    """How this kind of change is asked for."""
    if not change.old:
        return _added(change)
    if not change.new:
        return REMOVED
    if change.form == ADJECTIVE:
        return QUALITY
    if change.form == NUMBER:
        return AMOUNT
    if change.form in (ACTION, SIDE):
        return DOING
    if change.kind == "sport":
        return GAME
    if change.preposition:
        return PLACE
    return BEING if change.kind in BEINGS else OBJECT


def conditioning(changes: Sequence[Change], draw: random.Random) -> str:
    """One text that asks for all changes, in one mood; short ones where there are several."""
    several = len(changes) > 1
    moods = (ORDER, CLAUSE, PREDICATE) if several else (ORDER, CLAUSE, PREDICATE, PHRASE)
    mood = draw.choices(moods, [LIKELY[name] for name in moods])[0]
    texts = []
    for change in changes:
        forms = _forms(change, mood, draw)
        short = [form for form in forms if LONG.isdisjoint(form.replace(",", " ,").split())]
        form = draw.choice(short if several and short else forms)
        texts.append(form.format_map(_words(change)))
    return draw.choice(JOINTS[mood]).join(texts)


def _forms(change: Change, mood: str, draw: random.Random) -> Sequence[str]:
    forms = wordings_of(change)[mood]
    if mood != PREDICATE or not change.is_main:
        return forms
    about: Sequence[str] = ()
    if change.is_plural:
        return forms
    if change.form in (ADJECTIVE, ACTION, SIDE):
        about = ABOUT_QUALITY if change.old else ABOUT_QUALITY[:1]
    elif change.form in NOUNS and change.new:
        about = ABOUT_OBJECT
    return about if about and draw.random() < ABOUT else forms


def _added(change: Change) -> Wordings:
    if change.form == ADJECTIVE:
        return SAID
    if change.preposition == "wearing":
        return WORN
    return SET if change.preposition else ADDED


def _words(change: Change) -> dict[str, str]:
    """What the forms have places for."""

    def with_article(phrase: str, wanted: bool = change.has_article) -> str:
        return f"{article(phrase)} {phrase}" if wanted and phrase else phrase

    one = not change.is_plural
    return {
        "old": change.old.removesuffix(" of"),  # "a couple of" dogs
        "new": change.new,
        "noun": change.noun,
        "a_old": with_article(change.old),
        "a_new": with_article(change.new),
        "a_old_noun": with_article(f"{change.old} {change.noun}"),
        "a_new_noun": with_article(f"{change.new} {change.noun}"),
        "at": change.preposition,
        "is": "is" if one else "are",
        "has": "has" if one else "have",
        "s": "" if one else "s",
    }
