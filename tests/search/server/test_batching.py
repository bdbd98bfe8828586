"""Requests are answered together, in bounds, and each gets its own answer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.search.server.batching import Batcher, BusyError


class Work:
    """Doubles numbers; waits until it may."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.may, self.begun = threading.Event(), threading.Event()
        if not held:
            self.may.set()

    def __call__(self, questions):
        self.batches.append(list(questions))
        self.begun.set()
        assert self.may.wait(10)
        if 13 in questions:
            raise RuntimeError("thirteen")
        return [FileError(f"not {q}") if q < 0 else 2 * q for q in questions]


def tried(scenario, work, **bounds):
    """What a scenario gives with a batcher that runs."""

    async def inside():
        batcher = Batcher(work, **bounds)
        running = asyncio.create_task(batcher.run())
        try:
            return await asyncio.wait_for(scenario(batcher, running), 10)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    return asyncio.run(inside())


async def all_of(batcher, numbers, work=None):
    """Ask the first alone, the others while it is at work."""
    first = asyncio.create_task(batcher.ask(numbers[0]))
    await asyncio.to_thread(work.begun.wait, 10)
    rest = [asyncio.create_task(batcher.ask(number)) for number in numbers[1:]]
    await asyncio.sleep(0.05)
    work.may.set()
    return await asyncio.gather(first, *rest, return_exceptions=True)


def test_what_arrives_meanwhile_is_answered_together():
    work = Work(held=True)
    numbers = list(range(1, 8))
    assert tried(lambda b, _: all_of(b, numbers, work), work) == [2 * n for n in numbers]
    assert work.batches == [[1], numbers[1:]]


def test_no_batch_is_larger_than_it_may_be():
    work = Work(held=True)
    numbers = list(range(1, 10))
    found = tried(lambda b, _: all_of(b, numbers, work), work, together=3)
    assert found == [2 * n for n in numbers]
    assert [len(batch) for batch in work.batches] == [1, 3, 3, 2]


def test_who_finds_no_room_is_told_so():
    work = Work(held=True)
    numbers = list(range(1, 7))
    found = tried(lambda b, _: all_of(b, numbers, work), work, room=3)
    assert found[:4] == [2, 4, 6, 8]
    assert [type(one) for one in found[4:]] == [BusyError, BusyError]
    assert "3 questions are waiting" in str(found[4])


def test_an_error_is_its_own_questions():
    work = Work(held=True)
    found = tried(lambda b, _: all_of(b, [1, 2, -3, 4], work), work)
    assert (found[0], found[1], found[3]) == (2, 4, 8)
    assert isinstance(found[2], FileError)


def test_a_batch_that_fails_stops_nobody_else():
    async def scenario(batcher, _):
        with pytest.raises(RuntimeError, match="thirteen"):
            await batcher.ask(13)
        return await batcher.ask(4)

    assert tried(scenario, Work()) == 8


def test_who_has_gone_is_not_asked_for():
    work = Work(held=True)

    async def scenario(batcher, _):
        first = asyncio.create_task(batcher.ask(1))
        await asyncio.to_thread(work.begun.wait, 10)
        gone, stays = (asyncio.create_task(batcher.ask(number)) for number in (2, 3))
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.sleep(0.02)
        work.may.set()
        return await asyncio.gather(first, stays)

    assert tried(scenario, work) == [2, 6]
    assert work.batches == [[1], [3]]


def test_who_waits_when_it_stops_is_told_so():
    work = Work(held=True)

    async def scenario(batcher, running):
        asked = [asyncio.create_task(batcher.ask(number)) for number in (1, 2)]
        await asyncio.to_thread(work.begun.wait, 10)
        running.cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        work.may.set()
        return found

    for error in tried(scenario, work):
        assert isinstance(error, BusyError)
        assert "stopping" in str(error)
