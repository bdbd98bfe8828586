"""Asks a model about captions, several at once, until each is answered or given up."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Protocol

from rtd_adapters.errors import TripletError
from rtd_adapters.triplets.llm.completion import Answer
from rtd_adapters.triplets.llm.server import NoAnswerError
from rtd_adapters.triplets.llm.talk import Talk

FAILURES_IN_A_ROW = 3
"""Captions without any answer, one after the other, after which a run stops."""


class Ask(Protocol):
    """A model; called from several threads at once."""

    def __call__(self, *turns: str) -> Answer:
        """Its answer to what was said in turn, by the user first and last."""


def ask_all(todo: Iterable[tuple[int, str]], talk: Talk, ask: Ask, concurrency: int) -> None:
    """Ask about every caption, with `concurrency` requests under way; the first error ends it.

    Raises:
        TripletError: the server is gone.
        UsageError: it refuses the request.
    """
    asker, pool, captions = _Asker(talk, ask), ThreadPoolExecutor(concurrency), iter(todo)
    try:
        running: set[Future[None]] = set()
        while True:
            for caption in islice(captions, concurrency - len(running)):
                running.add(pool.submit(asker, *caption))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
        asker.finish()
    finally:
        # Answers under way are paid for: they are waited for and written down.
        pool.shutdown(wait=True, cancel_futures=True)


class _Asker:
    """Asks about one caption, in whatever thread it is called."""

    def __init__(self, talk: Talk, ask: Ask) -> None:
        self._talk, self._ask = talk, ask
        self._lock = threading.Lock()
        self._failures: list[int] = []

    def __call__(self, number: int, caption: str) -> None:
        self._talk.judge(number, caption)
        while not self._talk.ledger.is_done(number):
            try:
                answer = self._ask(*self._talk.turns(number, caption))
            except NoAnswerError as error:
                self._note_failure(number, error)
                return
            self.finish()
            self._talk.take(number, caption, answer)

    def finish(self) -> None:
        """Give up those captions that failed, and that no stop followed."""
        with self._lock:
            for number in self._failures:
                self._talk.ledger.given_up(number)
            self._failures.clear()

    def _note_failure(self, number: int, error: NoAnswerError) -> None:
        """A caption no server can answer is dropped; a server that is gone stops the run."""
        with self._lock:
            self._failures.append(number)
            if len(self._failures) >= FAILURES_IN_A_ROW:
                raise TripletError(
                    f"{error} {len(self._failures)} captions failed in a row, so the run stops. "
                    "What is done is kept; give the same command again to go on."
                ) from error
