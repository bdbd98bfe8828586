"""Makes triplets by a language model, and never pays for an answer twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rtd_adapters.errors import TripletError
from rtd_adapters.triplets.llm.answers import CAPTION, PROMPT, parse_answer
from rtd_adapters.triplets.llm.completion import Answer
from rtd_adapters.triplets.llm.endpoint import NoAnswerError
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.sources import read_captions, source_identity, write_triplets
from rtd_adapters.triplets.work import ANSWERS, Journal, JournalWriter, Watch, work_folder

NO_ANSWER = "no answer from the server"
FAILURES_IN_A_ROW = 3
"""Captions without any answer, one after the other, after which a run stops."""
MILLION = 1e6

Ask = Callable[[str], Answer]
"""A prompt to a model's answer; called from several threads at once."""


@dataclass
class LlmCounts:
    """What became of the captions, and what it cost."""

    captions: int = 0
    triplets: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason to number of captions."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, prompt_price: float, completion_price: float) -> float:
        """In the unit of the prices, which are per million tokens."""
        tokens = (self.prompt_tokens, self.completion_tokens)
        prices = (prompt_price, completion_price)
        return sum(n * price for n, price in zip(tokens, prices, strict=True)) / MILLION


def llm_triplets(
    source: str | Path,
    out: Path,
    ask: Ask,
    *,
    identity: Mapping[str, Any],
    prompt: str = PROMPT,
    column: str | None = None,
    concurrency: int = 1,
    overwrite: bool = False,
    watch: Watch = lambda rows, label: rows,
) -> LlmCounts:
    """Write the triplets that a model makes of a source's captions to `out`, in their order.

    Every answer is on disk before the next caption is asked for; a run that breaks off leaves
    OUT.work, from which the same call goes on.

    Args:
        source: captions, as `read_captions` takes them; empty and repeated ones are left out.
        out: JSON lines in the official format.
        ask: the model.
        identity: what tells this model and its settings from others; holds no key.
        prompt: has `{caption}` where the caption goes.
        column: name of the caption column.
        concurrency: requests under way at once.
        overwrite: replace `out`.
        watch: shows progress.

    Raises:
        TripletError: captions cannot be read, the server is gone, or no answer was usable.
        UsageError: the server refuses the request.
        FileError: a file cannot be read or written, or an unfinished run is in the way.
    """
    job = {"source": source_identity(source), "column": column, "prompt": prompt, **identity}
    with work_folder(out, job, overwrite=overwrite) as folder:
        journal = Journal(folder / ANSWERS)
        answered = {row["number"] for row in journal}
        todo = (
            (number, caption)
            for number, caption in enumerate(_distinct(read_captions(source, column)))
            if number not in answered
        )
        with journal.writing() as writer:
            _ask_all(watch(todo, "captions"), _Asker(ask, prompt, writer), concurrency)
        rows = sorted(journal, key=lambda row: row["number"])
        counts = _count(rows)
        if not counts.triplets:
            raise TripletError(f"No answer was usable: {_listed(counts.dropped)}.")
        write_triplets(out, (Triplet(*row["triplet"]) for row in rows if row["triplet"]))
    return counts


class _Asker:
    """Asks for one caption and writes the outcome down, in whatever thread it is called."""

    def __init__(self, ask: Ask, prompt: str, writer: JournalWriter) -> None:
        self._ask, self._prompt, self._writer = ask, prompt, writer
        self._lock = threading.Lock()
        self._failures: list[tuple[int, str]] = []

    def __call__(self, number: int, caption: str) -> None:
        try:
            answer = self._ask(self._prompt.replace(CAPTION, caption))
        except NoAnswerError as error:
            self._note_failure(number, error)
            return
        made = parse_answer(caption, answer.text)
        with self._lock:
            self._settle_failures()
            self._write(number, made, [answer.prompt_tokens, answer.completion_tokens])

    def finish(self) -> None:
        """Write down those failures that no stop followed."""
        with self._lock:
            self._settle_failures()

    def _note_failure(self, number: int, error: NoAnswerError) -> None:
        """A caption no server can answer is dropped; a server that is gone stops the run."""
        with self._lock:
            self._failures.append((number, str(error)))
            if len(self._failures) >= FAILURES_IN_A_ROW:
                raise TripletError(
                    f"{error} {len(self._failures)} captions failed in a row, so the run stops. "
                    "What is done is kept; give the same command again to go on."
                ) from error

    def _settle_failures(self) -> None:
        for number, _ in self._failures:
            self._write(number, NO_ANSWER, [0, 0])
        self._failures.clear()

    def _write(self, number: int, made: Triplet | str, tokens: list[int]) -> None:
        row: dict[str, Any] = {"number": number, "tokens": tokens, "triplet": None, "why": None}
        if isinstance(made, Triplet):
            row["triplet"] = [made.reference, made.conditioning, made.target]
        else:
            row["why"] = made
        self._writer.append(row)
        self._writer.flush()


def _ask_all(todo: Iterable[tuple[int, str]], asker: _Asker, concurrency: int) -> None:
    """Keep `concurrency` requests under way; the first error ends the run."""
    pool = ThreadPoolExecutor(concurrency)
    captions = iter(todo)
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


def _distinct(captions: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for caption in captions:
        if caption and caption.lower() not in seen:
            seen.add(caption.lower())
            yield caption


def _count(rows: Iterable[Mapping[str, Any]]) -> LlmCounts:
    counts = LlmCounts()
    for row in rows:
        counts.captions += 1
        counts.triplets += row["triplet"] is not None
        counts.prompt_tokens += row["tokens"][0]
        counts.completion_tokens += row["tokens"][1]
        if row["why"]:
            counts.dropped[row["why"]] += 1
    return counts


def _listed(dropped: Counter[str]) -> str:
    return ", ".join(f"{why}: {count:,}" for why, count in dropped.most_common()) or "no captions"
