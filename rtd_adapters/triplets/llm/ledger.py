"""What was answered and what came of it, on disk at once, so that no answer is paid for twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtd_adapters.triplets.llm.completion import Answer
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.work import ANSWERS, Journal, JournalWriter

NO_ANSWER = "no answer from the server"


@dataclass(frozen=True)
class Verdict:
    """The triplet in an answer, or why there is none."""

    triplet: Triplet | None
    why: str | None = None
    """The reason, by which answers are counted."""
    wrong: str = ""
    """What the model is told of it."""


@dataclass(frozen=True)
class Rejected:
    """A first answer that was no good, and what was wrong with it."""

    text: str
    wrong: str


@dataclass
class Case:
    """How far one caption has come."""

    question: int = 1
    """Which one is open: the first, or the second after a rejected answer."""
    text: str | None = None
    """The answer to it, where it is there and not judged yet."""
    rejected: Rejected | None = None
    failed_in: str | None = None
    """The batch in which the open question failed once."""


class Ledger:
    """The journal of a run, in `folder`, and the state of each caption in it.

    A caption is known by its number. Safe to call from many threads.

    Args:
        questions: how often a caption may be asked about.
        writer: of the journal; without one nothing can be added.
    """

    def __init__(self, journal: Journal, writer: JournalWriter, questions: int) -> None:
        self._journal, self._writer, self._questions = journal, writer, questions
        self._lock = threading.RLock()
        self._cases: dict[int, Case] = {}
        self._done: set[int] = set()
        for row in journal:
            self._apply(row)

    @staticmethod
    @contextmanager
    def opened(folder: Path, questions: int) -> Iterator[Ledger]:
        """Read what the folder holds, and add to it.

        Raises:
            FileError: it cannot be read or written.
        """
        journal = Journal(folder / ANSWERS)
        with journal.writing() as writer:
            yield Ledger(journal, writer, questions)

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """All that was written; `kind` says what each row is."""
        return iter(self._journal)

    def is_done(self, number: int) -> bool:
        """Whether a caption has its triplet, or was dropped."""
        with self._lock:
            return number in self._done

    def case(self, number: int) -> Case:
        """How far a caption that is not done has come."""
        with self._lock:
            return self._cases.get(number) or Case()

    def unjudged(self) -> list[int]:
        """Captions whose answer is there and not judged."""
        with self._lock:
            return [number for number, case in self._cases.items() if case.text is not None]

    def answered(self, number: int, answer: Answer) -> None:
        """The open question was answered, which is paid for."""
        tokens = [answer.prompt_tokens, answer.completion_tokens]
        self._write(number, "answer", text=answer.text, tokens=tokens)

    def judged(self, number: int, verdict: Verdict) -> None:
        """The answer was judged: a triplet, a reason to ask once more, or the end."""
        made, last = verdict.triplet, self.case(number).question == self._questions
        if made is not None:
            self._write(number, "made", triplet=[made.reference, made.conditioning, made.target])
        elif last:
            self._write(number, "dropped", why=verdict.why)
        else:
            self._write(number, "rejected", why=verdict.why, wrong=verdict.wrong)

    def failed(self, number: int, why: str, batch: str) -> None:
        """The open question failed in a batch: it goes into another one, and no third."""
        failed_in = self.case(number).failed_in
        if failed_in is None:
            self._write(number, "failed", why=why, batch=batch)
        elif failed_in != batch:
            self.given_up(number)

    def given_up(self, number: int) -> None:
        """The open question is not answered, and not asked again."""
        self._write(number, "dropped", why=NO_ANSWER)

    def _write(self, number: int, kind: str, **fields: Any) -> None:
        row = {"number": number, "kind": kind, **fields}
        with self._lock:
            self._writer.append(row)
            self._writer.flush()
            self._apply(row)

    def _apply(self, row: Mapping[str, Any]) -> None:
        number, kind = row["number"], row["kind"]
        case = self._cases.setdefault(number, Case())
        if kind == "answer":
            case.text = row["text"]
        elif kind == "failed":
            case.failed_in = row["batch"]
        elif kind == "rejected":
            rejected = Rejected(case.text or "", row["wrong"])
            self._cases[number] = Case(case.question + 1, rejected=rejected)
        else:
            del self._cases[number]
            self._done.add(number)
