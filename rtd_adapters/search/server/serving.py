"""What the routes work with."""

from __future__ import annotations

from dataclasses import dataclass

from rtd_adapters.search.questions import Answer, Question, Searcher
from rtd_adapters.search.server.batching import Batcher
from rtd_adapters.search.server.uploads import Remembered


@dataclass(frozen=True)
class Serving:
    """A searcher, and what stands between it and requests.

    Args:
        searcher: answers questions.
        batcher: asks it, many requests at a time.
        remembered: what was sent before.
        strength: that the page begins with.
        note: what the page's user should know.
    """

    searcher: Searcher
    batcher: Batcher[Question, Answer]
    remembered: Remembered
    strength: float = 1.0
    note: str = ""
