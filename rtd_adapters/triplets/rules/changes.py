"""What a target caption has in place of something of its reference caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtd_adapters.triplets.language.grammar import swap


@dataclass(frozen=True)
class Change:
    """One attribute that differs."""

    kind: str
    """Of the attribute, as `language/kinds.txt` has it."""
    form: str
    """How its word stands in a sentence."""
    old: str
    """Words of the reference caption, without an article; empty where something is added."""
    new: str
    """Words of the target caption; empty where something is taken away."""
    noun: str = ""
    """What an adjective or a number says more of, or who acts, as it stands in the caption."""
    is_plural: bool = False
    """Whether the noun, or a noun that is swapped, is more than one."""
    has_article: bool = False
    """Whether `new` wants `a` or `an` before it."""
    is_main: bool = False
    """Whether the noun is what the caption is about."""
    preposition: str = ""
    """Before the name of a place."""


@dataclass(frozen=True)
class Edit:
    """A change, and how the caption's text changes with it."""

    start: int
    end: int
    text: str
    """What stands at [start, end) afterwards."""
    change: Change
    is_reversed: bool = False
    """Whether the caption is the target, and the edited text its reference."""


def apply_edits(caption: str, edits: Sequence[Edit]) -> str:
    """The caption after edits that do not overlap; articles are made to fit."""
    for edit in sorted(edits, key=lambda edit: -edit.start):
        if edit.text:
            caption = swap(caption, edit.start, edit.end, edit.text)
        else:
            caption = _without(caption, edit.start, edit.end)
    return caption


def _without(caption: str, start: int, end: int) -> str:
    """The caption without [start, end); what follows begins with a fitting article and letter."""
    rest = caption[end:].lstrip()
    following = rest.split(" ", 1)[0]
    if following and following[0].isalnum():
        if start == 0 and caption[0].isupper():
            following = following[0].upper() + following[1:]
        shortened = caption[:start] + rest
        return swap(shortened, start, start + len(following), following)
    joint = "" if rest[:1] in tuple(".,;:!?") and not caption[end].isspace() else " "
    return (caption[:start].rstrip() + (joint if rest else "") + rest).rstrip()
