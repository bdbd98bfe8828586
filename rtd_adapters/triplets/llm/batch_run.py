"""Answers captions by batches: submits, waits, takes what came, and goes on where it was killed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rtd_adapters.errors import TripletError, UsageError
from rtd_adapters.triplets.llm.batch_book import BatchBook, Requests
from rtd_adapters.triplets.llm.batch_lines import EXPIRED, Line
from rtd_adapters.triplets.llm.batches import Batches, State
from rtd_adapters.triplets.llm.completion import Answer
from rtd_adapters.triplets.llm.counts import listed
from rtd_adapters.triplets.llm.server import LONGEST_WAIT, NoAnswerError
from rtd_adapters.triplets.llm.talk import Talk
from rtd_adapters.triplets.work import Watch

NO_LINE = "no line in the batch"
FEWEST = 3
"""Requests from which on a batch without any answer stops the run."""
KEPT = "What is done is kept; give the same command again to"


class BatchRun:
    """Asks about captions until each is answered or given up.

    Args:
        batches: the server's.
        talk: says what is asked, and takes the answers.
        captions: those that are not done, by number.
        folder: of the run; batches are written down there.
        watch: shows progress.
        say: told of each batch, in a line.
    """

    def __init__(
        self,
        batches: Batches,
        talk: Talk,
        captions: Mapping[int, str],
        folder: Path,
        watch: Watch,
        say: Callable[[str], None],
    ) -> None:
        self._batches, self._talk, self._captions = batches, talk, captions
        self._folder, self._watch, self._say = folder, watch, say

    def run(self) -> None:
        """Submit and collect, until nothing is open.

        Raises:
            TripletError: the server is gone, or a batch was cancelled or holds no answer.
            UsageError: the server refuses a request or a batch.
        """
        for number in self._talk.ledger.unjudged():
            self._talk.judge(number, self._captions[number])
        try:
            with BatchBook.opened(self._folder) as book:
                for file in list(book.uploaded):  # the last run may have died on the way
                    if batch := self._batches.find(file):
                        self._note_batch(book, file, batch)
                while self._submit(book) or book.open:
                    for batch, requests in list(book.open.items()):
                        self._collect(book, batch, requests)
        except NoAnswerError as error:
            raise TripletError(f"{error} {KEPT} go on, with the same batches.") from error

    def _submit(self, book: BatchBook) -> bool:
        """Submit all questions that are in no batch yet; whether there were any."""
        under_way = {name for requests in book.open.values() for name in requests}
        submitted = False
        for names, lines in self._parts(under_way):
            file = self._batches.upload(lines)
            book.add_file(file, names)
            self._note_batch(book, file, self._batches.create(file))
            submitted = True
        return submitted

    def _note_batch(self, book: BatchBook, file: str, batch: str) -> None:
        number = len(book.uploaded[file])
        book.add_batch(file, batch)
        self._say(f"batch {batch} is submitted: {number:,} requests")

    def _parts(self, under_way: set[str]) -> Iterator[tuple[list[str], list[bytes]]]:
        """Names and lines of open questions, as many as one file may hold."""
        names: list[str] = []
        lines: list[bytes] = []
        size = 0
        for number, caption in self._captions.items():
            if self._talk.ledger.is_done(number) or (name := self._name(number)) in under_way:
                continue
            line = self._batches.line(name, self._talk.turns(number, caption))
            full = len(lines) == self._batches.most_requests
            if lines and (full or size + len(line) > self._batches.most_bytes):
                yield names, lines
                names, lines, size = [], [], 0
            names.append(name)
            lines.append(line)
            size += len(line)
        if lines:
            yield names, lines

    def _name(self, number: int) -> str:
        return f"{number}-{self._talk.ledger.case(number).question}"

    def _collect(self, book: BatchBook, batch: str, requests: Requests) -> None:
        """Wait for a batch and take what it gives."""
        state = self._waited_for(batch)
        lines = [line for file in state.files for line in self._batches.lines(file)]
        failures = self._take(lines, requests, EXPIRED if state.status == EXPIRED else NO_LINE)
        useless = all(map(self._fails_first, requests))
        if state.status in ("completed", "expired"):
            for name in filter(self._is_open, failures):
                self._talk.ledger.failed(_number(name), failures[name], batch)
        book.close(batch)
        if state.status == "failed":
            raise UsageError(
                f"{self._batches.endpoint.server.name} refuses batch {batch}: {state.said} "
                f"Check --model and the server's limits. {KEPT} submit it anew."
            )
        if state.status == "cancelled":
            raise TripletError(f"Batch {batch} was cancelled. {KEPT} submit what it left open.")
        if useless and len(requests) >= FEWEST and EXPIRED not in failures.values():
            why = listed(Counter(failures.values()))
            raise TripletError(
                f"Batch {batch} holds no answer ({why}), so the run stops. Check --model and the "
                f"settings. {KEPT} submit its requests once more."
            )

    def _waited_for(self, batch: str) -> State:
        wait, told = self._batches.endpoint.server.first_wait, ""
        while True:
            state = self._batches.state(batch)
            if state.status != told:
                told = state.status
                self._say(f"batch {batch}: {told.replace('_', ' ')}")
            if state.has_ended:
                return state
            time.sleep(min(wait, LONGEST_WAIT))
            wait *= 2

    def _take(self, lines: list[Line], requests: Requests, otherwise: str) -> dict[str, str]:
        """Take the answers among lines; requests that have none, and why."""
        failures = dict.fromkeys(requests, otherwise)
        for line in self._watch(lines, "answers"):
            if line.name not in failures:
                continue
            if not isinstance(line.outcome, Answer):
                failures[line.name] = line.outcome
                continue
            del failures[line.name]
            if self._is_open(line.name):
                number = _number(line.name)
                self._talk.take(number, self._captions[number], line.outcome)
        return failures

    def _is_open(self, name: str) -> bool:
        """Whether a request's question still waits for an answer."""
        number = _number(name)
        return not self._talk.ledger.is_done(number) and name == self._name(number)

    def _fails_first(self, name: str) -> bool:
        """Whether a request's question waits still, and failed in no batch before."""
        return self._is_open(name) and self._talk.ledger.case(_number(name)).failed_in is None


def _number(name: str) -> int:
    """Of the caption that a request of ours is about."""
    return int(name.partition("-")[0])
