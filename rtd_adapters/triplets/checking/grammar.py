"""Errors of English that a swap of words makes, found without a parser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from rtd_adapters.triplets.checking.usage import (
    Usage,
    is_action,
    is_determined,
    is_number,
    runs,
    word_set,
)
from rtd_adapters.triplets.language.grammar import UNCHANGED, article
from rtd_adapters.triplets.language.kinds import COUNT, MASS, PLURAL
from rtd_adapters.triplets.language.tokens import (
    ARTICLES,
    AUXILIARIES,
    POSSESSIVES,
    PREPOSITIONS,
    Token,
)

SOUND = "a for an, or an for a"
DOUBLED = "a word twice"
DANGLING = "ends in the middle"
NO_NOUN = "article without a noun"
MANY_OF_ONE = "number before a singular"
ONE_OF_MANY = "a or one before a plural"
BARE = "singular without an article"
AGREEMENT = "verb of the other number"

ENDLESS = ARTICLES | POSSESSIVES | word_set("of with for from to into onto at and or is are")
"""Words that nothing ends with."""
SEVERAL = word_set("these those many several few both")
SINGLE = word_set("a an another each every")
ONES, MANIES = word_set("is was has"), word_set("are were have")
JOINS = word_set("and or of with")
NEAR = 6
"""Words before a verb among which its subject is looked for."""
REPEATABLE = word_set("very so that had really many then")


def errors(sentence: Sequence[Token], usage: Usage) -> Counter[str]:
    """Name of an error to how often it is made."""
    return Counter(
        [
            *_neighbours(sentence),
            *_numbers(sentence),
            *_articles(sentence, usage),
            *_verbs(sentence),
            *(BARE for _ in bare_nouns(sentence, usage)),
        ]
    )


def bare_nouns(sentence: Sequence[Token], usage: Usage) -> Iterator[Token]:
    """Singular nouns where English wants an article; the first word of all and what stands in a
    list are let pass."""
    for first, end in runs(sentence):
        before = sentence[first - 1] if first else None
        noun = sentence[end - 1]
        if before is None or before.text in ("and", "or") or not (before.is_word):
            continue
        if is_determined(sentence, first, end) or before.text in SEVERAL:
            continue
        if usage.wants_article(noun) and not _is_listed_pair(sentence, end):
            yield noun


def _is_listed_pair(sentence: Sequence[Token], end: int) -> bool:
    """Whether a noun goes on with its like: "between sofa and chair", "hand in hand"."""
    rest = sentence[end : end + 2]
    return len(rest) == 2 and rest[0].text in ("in", "by", "to") and rest[1] == sentence[end - 1]


def _neighbours(sentence: Sequence[Token]) -> Iterator[str]:
    for token, after in pairwise(sentence):
        if token.is_word and token.text == after.text and token.text not in REPEATABLE:
            yield DOUBLED
        sounds = token.text in ("a", "an") and after.text[0].isalpha()
        if sounds and article(after.text) != token.text:
            yield SOUND
        if token.text in ARTICLES and (
            after.text in PREPOSITIONS | AUXILIARIES | ARTICLES | {"and", "or"}
            or not (after.is_word or after.text in "\"'`")
        ):
            yield NO_NOUN
    words = [token.text for token in sentence if token.is_word]
    if words and words[-1] in ENDLESS:
        yield DANGLING


def _numbers(sentence: Sequence[Token]) -> Iterator[str]:
    for place, token in enumerate(sentence):
        many = token.text in SEVERAL or is_number(token)
        if not many or token.text == "1":
            continue
        run = run_after(sentence, place)
        if run and _is_singular(run[-1]) and not any(is_many(t) for t in run):
            yield MANY_OF_ONE


def _articles(sentence: Sequence[Token], usage: Usage) -> Iterator[str]:
    for place, token in enumerate(sentence):
        if token.text not in SINGLE:
            continue
        run = run_after(sentence, place)
        if not run:
            continue
        nouns = [t for t in run if not (t.is_modifier or usage.is_adjective(t))]
        if not nouns:
            joined = sentence[place + 1 + len(run) : place + 2 + len(run)]
            if not (joined and joined[0].text in ("and", "or", ",", "-", "/", "&")):
                yield NO_NOUN
        elif nouns[0] is run[-1] and not any(map(is_number, run)) and _is_no_one(run[-1], usage):
            yield ONE_OF_MANY


def _verbs(sentence: Sequence[Token]) -> Iterator[str]:
    for place in range(1, len(sentence)):
        verb, noun = sentence[place].text, sentence[place - 1]
        if noun.text == "there" and verb in ONES:
            run = run_after(sentence, place)
            if run and (is_number(run[0]) or is_many(run[-1])):
                yield AGREEMENT
            continue
        before = {token.text for token in sentence[max(0, place - NEAR) : place - 1]}
        if before & JOINS:
            continue
        if (verb in ONES and is_many(noun)) or (
            verb in MANIES and _is_singular(noun) and before & {"a", "an", "one"}
        ):
            yield AGREEMENT


def run_after(sentence: Sequence[Token], place: int) -> list[Token]:
    """Content words right behind a place, up to what somebody does."""
    run = []
    for token in sentence[place + 1 :]:
        if not token.is_content or is_action(token):
            break
        run.append(token)
    return run


def _forms(token: Token) -> set[str]:
    return {reading.form for reading in token.readings}


def is_many(token: Token) -> bool:
    """Whether a word is listed as a noun and in the plural."""
    return (token.is_plural and COUNT in _forms(token)) or _forms(token) == {PLURAL}


def _is_no_one(token: Token, usage: Usage) -> bool:
    """Whether a noun cannot follow a or one."""
    return is_many(token) or _forms(token) == {MASS} or usage.shuns_article(token)


def _is_singular(token: Token) -> bool:
    if token.is_plural or token.text.endswith("s") or token.text in UNCHANGED:
        return False
    return _forms(token) == {COUNT}
