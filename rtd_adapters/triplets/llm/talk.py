"""The talk about one caption: a question, an answer, and a second question where it is no good."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from rtd_adapters.triplets.llm.answers import first_question, parse_answer, second_question
from rtd_adapters.triplets.llm.completion import Answer
from rtd_adapters.triplets.llm.ledger import Ledger, Verdict
from rtd_adapters.triplets.records import Triplet

REJECTED = "rejected: {}"
QUESTIONS = 2
"""What a caption is asked about at most, where answers are checked."""

Faults = Callable[[Triplet], Sequence[str]]
"""Names of what is wrong with a triplet, the worst first; none for a good one. One triplet, one
answer, whichever came before it. Called by one thread at a time."""


class Talk:
    """What is asked about each caption of a run, and what becomes of the answers.

    Args:
        ledger: keeps both.
        prompt: has `{caption}` where the caption goes.
        faults: checks triplets; None takes each that can be read.
    """

    def __init__(self, ledger: Ledger, prompt: str, faults: Faults | None) -> None:
        self.ledger = ledger
        self._prompt, self._faults = prompt, faults
        self._judging = threading.Lock()

    def turns(self, number: int, caption: str) -> tuple[str, ...]:
        """The caption's open question, with all that was said before it."""
        rejected = self.ledger.case(number).rejected
        if rejected is None:
            return first_question(self._prompt, caption)
        return second_question(self._prompt, caption, rejected.text, rejected.wrong)

    def take(self, number: int, caption: str, answer: Answer) -> None:
        """Write down an answer to the open question, then judge it."""
        self.ledger.answered(number, answer)
        self.judge(number, caption)

    def judge(self, number: int, caption: str) -> None:
        """Judge the answer that is there, if one is: a run may have been killed before it did."""
        text = self.ledger.case(number).text
        if text is not None:
            self.ledger.judged(number, self._verdict(caption, text))

    def _verdict(self, caption: str, text: str) -> Verdict:
        made = parse_answer(caption, text)
        if isinstance(made, str):
            return Verdict(None, made, made)
        with self._judging:
            faults = self._faults(made) if self._faults else ()
        if faults:
            return Verdict(None, REJECTED.format(faults[0]), ", ".join(faults))
        return Verdict(made)


def questions(faults: Faults | None) -> int:
    """How often a caption is asked about at most."""
    return 1 if faults is None else QUESTIONS
