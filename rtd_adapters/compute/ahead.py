"""Values of a function of a number, worked out ahead by processes of their own.

The values are what this process would work out itself, in the same order, so nothing depends on how
many workers there are, or on when they begin: while one still starts, this process goes on alone.
A worker is a fresh Python that imports what it is sent, so nothing of this process is run twice in
it. How far it is ahead is bounded by what a pipe holds, and it ends with this process, however that
ends.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Generic, TypeVar

from rtd_adapters.compute.ahead_worker import FAILED, READY
from rtd_adapters.compute.elsewhere import Elsewhere, ending
from rtd_adapters.errors import TrainingError, UsageError

T = TypeVar("T")
START = 10.0
"""Seconds of one core that a worker's start costs; it is to save more."""
SHARE = 0.05
"""Of this process's time that its values must take before a worker is started for them."""
TRIED = 3
"""Values after which that is known; the first one, which is never like the others, not counted."""
PIPE = 1 << 20
"""Bytes that Linux lends to a pipe if asked."""
SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ, which Python has since 3.10 on Linux alone."""
PROGRAM = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from rtd_adapters.compute.ahead_worker import run
run(*map(int, sys.argv[2:]))
"""


class Ahead(Generic[T]):
    """Values by their number; to be called with one number after the other, and closed.

    Args:
        here: what works a value out in this process.
        there: gives what works one out in a worker; that must survive pickling. Called once, when
            the first worker is started.
        end: of the numbers.
        workers: how many there are; None starts one as soon as it pays.
        arrived: makes of what a worker sent what `here` gives.
        patience: seconds to wait for workers to start, at the first number.
    """

    def __init__(
        self,
        here: Callable[[int], T],
        there: Callable[[], Callable[[int], Any]],
        end: int,
        workers: int | None,
        arrived: Callable[[Any], T],
        patience: float = 0.0,
    ) -> None:
        self._here, self._there, self._end = here, there, end
        self._asked, self._arrived, self._patience = workers, arrived, patience
        self._workers: list[_Worker] = []
        self._clock = _Clock()
        self._early: dict[int, tuple[str, Any]] = {}
        self.taken = 0
        """Values that came from workers."""
        if workers and os.name != "posix":
            raise UsageError("--prefetch needs a system with pipes of files. Pass --prefetch 0.")

    def __call__(self, number: int) -> T:
        """The value of a number.

        Raises:
            Exception: what working it out raised, wherever that was.
            TrainingError: a worker has ended.
            UsageError: workers were asked for, but what they need cannot be sent.
        """
        self._start_workers(number)
        message = self._early.pop(number, None) or self._received(number)
        value = self._clock.timed(self._here, number) if message is None else self._opened(message)
        self._look_ahead(number + 1)
        return value

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; there is nothing of theirs to tidy up."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _start_workers(self, number: int) -> None:
        count = self._asked
        if self._workers or count == 0:
            return
        if count is None:
            if not (os.name == "posix" and self._clock.pays(self._end - number)):
                return
            count = 1
        try:
            sent = pickle.dumps(self._there())
        except Exception as error:
            self._give_up(f"what a batch needs cannot be sent to another process ({error})")
            return
        count = min(count, self._end - number)
        self._workers += [_Worker(sent) for _ in range(count)]
        self._begin(number, self._patience)

    def _begin(self, number: int, patience: float = 0.0) -> None:
        """Set those workers going that are ready, from some number on."""
        for place, worker in enumerate(self._workers):
            if worker.next is None and worker.channel.poll(patience):
                try:
                    kind, what = worker.received(number)
                except TrainingError as error:
                    if self._asked:
                        raise
                    kind, what = FAILED, (error, "")
                if kind == FAILED:
                    self.close()
                    self._give_up(f"another process cannot read what a batch needs ({what[0]})")
                    return
                count = len(self._workers)
                worker.begin(number + (place - number) % count, count, self._end)

    def _give_up(self, reason: str) -> None:
        if self._asked:
            raise UsageError(f"--prefetch {self._asked}: {reason}. Pass --prefetch 0.")
        self._asked = 0

    def _received(self, number: int) -> tuple[str, Any] | None:
        """The message with a value, when it comes; None if no worker works that one out."""
        if not self._workers:
            return None
        worker = self._workers[number % len(self._workers)]
        return worker.received(number) if worker.next == number else None

    def _opened(self, message: tuple[str, Any]) -> T:
        kind, value = message
        if kind == FAILED:
            error, trace = value
            raise error from Elsewhere(trace)
        self.taken += 1
        return value if kind == ARRIVED else self._arrived(value)

    def _look_ahead(self, number: int) -> None:
        """Take the next value if it is there, so that its way to a GPU begins before its step."""
        self._begin(number)
        if number >= self._end or not self._workers:
            return
        worker = self._workers[number % len(self._workers)]
        if worker.next == number and worker.channel.poll():
            kind, value = worker.received(number)
            failed = kind == FAILED  # which is raised when that number is asked for
            self._early[number] = (kind, value) if failed else (ARRIVED, self._arrived(value))


ARRIVED = "arrived"
"""A value that `arrived` has seen."""


class _Clock:
    """What values cost that this process works out itself."""

    def __init__(self) -> None:
        self._since, self._spent, self._count = 0.0, 0.0, -1

    def timed(self, make: Callable[[int], T], number: int) -> T:
        started = time.perf_counter()
        value = make(number)
        now = time.perf_counter()
        self._count += 1
        if self._count:
            self._spent += now - started
        else:
            self._since = now
        return value

    def pays(self, left: int) -> bool:
        """Whether a worker would save more than it costs."""
        if self._count < TRIED or _cores() < 2:
            return False
        share = self._spent / (time.perf_counter() - self._since)
        return share > SHARE and left * self._spent / self._count > START


def _cores() -> int:
    """Those that this process may use."""
    own = getattr(os, "sched_getaffinity", None)
    return len(own(0)) if own else os.cpu_count() or 1


class _Worker:
    """A process, and the way to and from it."""

    def __init__(self, sent: bytes) -> None:
        self.next: int | None = None
        """The number whose value it sends next; None before it has begun."""
        self._step = 1
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        orders, give = os.pipe()
        take, answers = os.pipe()
        with tempfile.TemporaryFile() as needed:
            needed.write(sent)
            needed.seek(0)
            theirs = (orders, answers, needed.fileno())
            path = json.dumps([place for place in sys.path if isinstance(place, str)])
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, path, *map(str, theirs)],
                pass_fds=theirs,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
                start_new_session=True,  # Ctrl-C reaches this process alone
            )
        os.close(orders)
        os.close(answers)
        _enlarge(take)
        self.channel = Connection(take, writable=False)
        self._orders = Connection(give, readable=False)

    def begin(self, first: int, step: int, end: int) -> None:
        """Let it work out the values of a range."""
        self._orders.send((first, step, end))
        self.next, self._step = first, step

    def received(self, number: int) -> tuple[str, Any]:
        """Its next message.

        Raises:
            TrainingError: it has ended.
        """
        try:
            kind, value = pickle.loads(self.channel.recv_bytes())
        except (EOFError, OSError) as error:
            code = self._process.wait()
            raise TrainingError(
                f"the process that prepares batches has ended ({ending(code)}) before batch "
                f"{number}.{self._said()} If nobody ended it, memory did not do. Start again with "
                "--resume, or with --prefetch 0."
            ) from error
        if kind != READY and self.next is not None:
            self.next += self._step
        return kind, value

    def end(self) -> None:
        """End it, now."""
        self._process.kill()
        self._process.wait()
        for way in (self.channel, self._orders, self._complaints):
            with suppress(OSError):
                way.close()

    def _said(self) -> str:
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f" It said: {lines[-1][:200]}." if lines else ""


def _enlarge(pipe: int) -> None:
    """Let a pipe hold a batch or two, so that a worker need not wait until one is taken."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a limit of the system's
            fcntl.fcntl(pipe, SET_PIPE_SIZE, PIPE)
