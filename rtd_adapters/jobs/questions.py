"""What a folder's files were made for: another question's answer is never taken for one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError

SHOWN = 3
Question = dict[str, Any]
"""All that decides an answer; plain values."""


def settled_question(
    before: Question | None, question: Mapping[str, Any], what: str, folder: Path, verb: str
) -> Question:
    """A question in the form in which it is kept, where it is the one that was asked before.

    Args:
        before: what was asked under the same name; None where nothing was.
        question: what is asked now.
        what: the name.
        folder: in which both are answered.
        verb: learned, measured or made, for the message.

    Raises:
        FileError: it is another one; the first settings that differ are named.
    """
    plain: Question = json.loads(json.dumps(question))
    if before is None:
        return plain
    if other := [n for n in {**before, **plain} if before.get(n) != plain.get(n)]:
        raise FileError(
            f"{what} in {folder} was {verb} with other settings ({', '.join(other[:SHOWN])}). "
            "Choose another --out."
        )
    return plain
