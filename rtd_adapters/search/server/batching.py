"""Requests answered together: those that arrive while one batch is at work make the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rtd_adapters.errors import RtdError

Q = TypeVar("Q")
A = TypeVar("A")
TOGETHER = 32
"""Questions of one batch at most."""
ROOM = 256
"""Questions that may wait."""


class BusyError(RtdError):
    """More is asked than can be answered soon."""


class Batcher(Generic[Q, A]):
    """Collects questions of many requests and hands them on together, to one thread at a time.

    Nobody waits for a batch to fill: a question that finds the thread idle goes at once.

    Args:
        work: answers a batch, in the order of its questions; an answer may be an error, which its
            own question gets.
        together: questions of a batch at most.
        room: questions that may wait.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Q]], Sequence[A | RtdError]],
        together: int = TOGETHER,
        room: int = ROOM,
    ) -> None:
        self._work, self._together, self._room = work, together, room
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._asked = asyncio.Event()

    async def ask(self, question: Q) -> A:
        """The answer to a question.

        Raises:
            BusyError: too many wait.
            RtdError: that the batch has for this question, or for all.
        """
        if len(self._waiting) >= self._room:
            raise BusyError(
                f"{self._room} questions are waiting already, and the server takes no more. Ask "
                "again in a moment."
            )
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._asked.set()
        return await future

    async def run(self) -> None:
        """Answer until cancelled; who waits then is told so."""
        try:
            while True:
                await self._asked.wait()
                if batch := self._next():
                    await self._answer(batch)
                else:
                    self._asked.clear()
        finally:
            while self._waiting:
                _settle(self._waiting.popleft()[1], BusyError("the server is stopping."))

    def _next(self) -> list[tuple[Q, asyncio.Future[A]]]:
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        while self._waiting and len(batch) < self._together:
            question, future = self._waiting.popleft()
            if not future.done():  # its client may have gone
                batch.append((question, future))
        return batch

    async def _answer(self, batch: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await asyncio.to_thread(self._work, [question for question, _ in batch])
        except BaseException as error:
            told = BusyError("the server is stopping.") if _is_stop(error) else error
            for _, future in batch:
                _settle(future, told)
            if _is_stop(error):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            _settle(future, answer)


def _is_stop(error: BaseException) -> bool:
    return not isinstance(error, Exception)


def _settle(future: asyncio.Future[A], answer: A | BaseException) -> None:
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
