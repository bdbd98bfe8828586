"""The little English that swapping a word in a caption needs: articles and plurals."""

from __future__ import annotations

import re

IRREGULAR = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "person": "people",
    "foot": "feet",
    "tooth": "teeth",
    "goose": "geese",
    "mouse": "mice",
    "ox": "oxen",
    "die": "dice",
    "knife": "knives",
    "wife": "wives",
    "life": "lives",
    "leaf": "leaves",
    "half": "halves",
    "shelf": "shelves",
    "calf": "calves",
    "wolf": "wolves",
    "loaf": "loaves",
    "scarf": "scarves",
    "thief": "thieves",
    "elf": "elves",
    "hero": "heroes",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "echo": "echoes",
    "cactus": "cacti",
    "movie": "movies",
    "cookie": "cookies",
    "shoe": "shoes",
    "bus": "buses",
    "house": "houses",
    "horse": "horses",
    "nose": "noses",
    "axe": "axes",
}
UNCHANGED = {"sheep", "fish", "deer", "aircraft", "moose", "bison", "series", "species"}
SINGULAR = {plural: singular for singular, plural in IRREGULAR.items()}
SILENT_H = ("hour", "honest", "honour", "honor", "heir")
AFTER_ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)
LIKE_YOU = re.compile(r"(uni([^mn]|$)|us[aeiu]|ut[ei]|eu|ewe|ukulele|one\b|once\b)")
"""Words whose first letter is a vowel and whose first sound is not."""


def article(phrase: str) -> str:
    """`a` or `an`, as the phrase sounds."""
    word = phrase.lower()
    if word.startswith(SILENT_H):
        return "an"
    if LIKE_YOU.match(word):
        return "a"
    return "an" if word[:1] in "aeiou" else "a"


def plural(phrase: str) -> str:
    """More than one of a noun phrase: its last word in the plural."""
    before, word = _last_word(phrase)
    if word in UNCHANGED:
        return phrase
    if word.endswith("man") and word not in ("human", "german", "roman"):
        return f"{before}{word[:-3]}men"
    if word in IRREGULAR:
        return before + IRREGULAR[word]
    if re.search(r"[^aeiou]y$", word):
        return f"{before}{word[:-1]}ies"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{before}{word}es"
    return f"{before}{word}s"


def singular(phrase: str) -> str:
    """One of a noun phrase in the plural, for regular nouns and the commonest others."""
    before, word = _last_word(phrase)
    if word in UNCHANGED:
        return phrase
    if word.endswith("men"):
        return f"{before}{word[:-3]}man"
    if word in SINGULAR:
        return before + SINGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return f"{before}{word[:-3]}y"
    if word.endswith(("sses", "xes", "zzes", "ches", "shes")):
        return before + word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return before + word[:-1]
    return phrase


def swap(caption: str, start: int, end: int, phrase: str) -> str:
    """The caption with `phrase` at [start, end); an article right before it is made to fit."""
    before, after = caption[:start], caption[end:]
    if caption.isupper():
        phrase = phrase.upper()
    elif caption[start].isupper() and _opens_with_capital(caption, start, end):
        phrase = phrase[0].upper() + phrase[1:]
    match = AFTER_ARTICLE.search(before)
    if match:
        fitting = article(phrase)
        if match[1] == "AN" or caption.isupper():
            fitting = fitting.upper()
        elif match[1][0].isupper():
            fitting = fitting.capitalize()
        before = before[: match.start()] + fitting + match[2]
    return before + phrase + after


def _opens_with_capital(caption: str, start: int, end: int) -> bool:
    """Whether what stands there is written so for its place, and not for a name or "TV"."""
    if caption[start:end].isupper():
        return False
    before = caption[:start].split()
    return not before or before[-1][0].isupper() or before[-1].endswith((".", "!", "?"))


def _last_word(phrase: str) -> tuple[str, str]:
    before, space, word = phrase.rpartition(" ")
    return before + space, word
