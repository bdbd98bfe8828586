"""What a language model is asked, and what of its answer is a triplet."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.triplets.checking.flaws import words
from rtd_adapters.triplets.records import Triplet, is_unicode

CAPTION = "{caption}"
PROMPT = """\
You write training data for image search with a picture and a text.
Below is the caption of a picture. Imagine a user who has this picture and looks for another one
that differs from it in one or two respects: an object, a colour, a number, an action, the place,
the style, something added or something removed.
Answer with one JSON object and nothing else, of the form
{"conditioning": "...", "target": "..."}
conditioning: what the user types, at most 15 words, in everyday words; it completes the sentence
"show me a picture like this that ...".
target: the caption of the picture that the user looks for, at most 40 words, in the style of the
given caption; it keeps everything that the conditioning text does not change.

Caption: {caption}
"""
"""Ours. `{caption}` stands for the caption; all other braces are plain text."""
AGAIN = """\
That answer cannot be used: {wrong}.
Put that right and answer once more for the same caption, with one JSON object of the same form and
nothing else.
"""
"""Ours. What a model is told of an answer that was rejected."""
LONGEST_REPEATED = 2000
"""Characters of a rejected answer that the model is shown again; longer ones are mere talk."""
CONDITIONING_NAMES = ("conditioning", "edit", "instruction", "modification")
TARGET_NAMES = ("target", "output", "edited_caption", "new_caption")
MOST_WORDS = 60
"""A longer text is a model that talks, not a caption."""

NO_JSON = "no JSON in the answer"
NO_KEYS = "answer without the two texts"
NO_UNICODE = "text that no file can hold"
UNCHANGED = "target equals caption"
TOO_LONG = "text too long"


def load_prompt(path: Path | None) -> str:
    """The prompt template in a file, or ours.

    Raises:
        FileError: the file cannot be read.
        UsageError: it has no `{caption}`.
    """
    if path is None:
        return PROMPT
    try:
        if not path.is_file():
            raise FileError(f"{path} is missing or no file. Check --prompt.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read: {error}. Check --prompt.") from error
    if CAPTION not in text:
        raise UsageError(f"{path} has no {CAPTION}, where the caption goes. Put it in.")
    return text


def first_question(prompt: str, caption: str) -> tuple[str]:
    """The one turn of a first question."""
    return (prompt.replace(CAPTION, caption),)


def second_question(prompt: str, caption: str, answer: str, wrong: str) -> tuple[str, str, str]:
    """The turns after an answer that was rejected: question, answer, and what is wrong with it."""
    # Half a character would be refused by a server.
    said = answer[:LONGEST_REPEATED].encode("utf-8", "replace").decode()
    return (*first_question(prompt, caption), said, AGAIN.replace("{wrong}", wrong))


def parse_answer(caption: str, answer: str) -> Triplet | str:
    """The triplet in an answer, or why there is none.

    Text round the JSON object, code fences, trailing commas and Python's quotes are forgiven.
    """
    value = _first_object(answer)
    if value is None:
        return NO_JSON
    conditioning = _named(value, CONDITIONING_NAMES)
    target = _named(value, TARGET_NAMES)
    if not conditioning or not target:
        return NO_KEYS
    if not (is_unicode(conditioning) and is_unicode(target)):
        return NO_UNICODE
    if words(target) == words(caption):
        return UNCHANGED
    if max(len(words(conditioning)), len(words(target))) > MOST_WORDS:
        return TOO_LONG
    return Triplet(caption, conditioning, target)


def _first_object(answer: str) -> dict[str, Any] | None:
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(answer, start)
        return value
    except (ValueError, RecursionError):
        pass
    text = re.sub(r",\s*}", "}", answer[start : end + 1])
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return value if isinstance(value, dict) else None
    return None


def _named(value: dict[str, Any], names: tuple[str, ...]) -> str:
    text = next((value[name] for name in names if name in value), "")
    return " ".join(text.split()) if isinstance(text, str) else ""
