"""Independent pieces of work at once, each in a process of its own that ends with its starter."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from rtd_adapters.compute.elsewhere import Elsewhere, ending, portable
from rtd_adapters.compute.signals import Ended, signals_raised
from rtd_adapters.errors import TrainingError

GRACE = 10.0
"""Seconds that a process has for tidying up when it is asked to end."""
TOLD, FAILED, FOUND = "told", "failed", "found"
"""What a process sends: lines to be told, and at last why it failed or what it found."""

Given = TypeVar("Given")
Found = TypeVar("Found")
Tell = Callable[[str], None]
Environment = Mapping[str, str]


def at_once(
    work: Callable[[Given, Tell], Found],
    pieces: Mapping[str, Given],
    slots: Sequence[Environment],
    done: Callable[[str, Found], None],
    tell: Tell,
) -> None:
    """Do pieces of work, as many at once as there are slots; returns when all are done.

    Processes are spawned, so a script of one's own that calls this needs `if __name__ ==
    "__main__":` around it. They end with this process, however it ends. Ctrl-C reaches this one
    alone, which asks them to end and lets them tidy up.

    Args:
        work: takes a piece and what tells a line; it and what goes in and out can be pickled.
        pieces: name -> what `work` is given, begun in this order.
        slots: of each process that may run, what its environment has besides this one's.
        done: told of each piece, as it finishes, its name and what was found.
        tell: told the lines.

    Raises:
        Exception: whatever a piece raised first; all others are ended.
        TrainingError: a process ended without a word; likewise.
    """
    waiting, free = deque(pieces.items()), deque(slots)
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and free:
                one = _Running.of(work, *waiting.popleft(), free.popleft())
                running[one.channel] = one  # before it starts: whatever comes now, it is ended
                one.start()
            for channel in connection.wait(list(running)):
                one = running[channel]  # type: ignore[index]
                kind, value = one.heard()
                if kind == TOLD:
                    tell(value)
                    continue
                if kind == FAILED:
                    error, trace = value
                    raise error from Elsewhere(trace)
                one.process.join()  # its memory is free then
                del running[one.channel]
                free.append(one.slot)
                done(one.name, value)
    finally:
        _end([one.process for one in running.values() if one.process.pid])


@dataclass(frozen=True)
class _Running:
    """A piece of work, its process, and the way by which that is heard."""

    name: str
    slot: Environment
    process: SpawnProcess
    channel: Connection
    sender: Connection

    @classmethod
    def of(
        cls, work: Callable[[Any, Tell], Any], name: str, given: Any, slot: Environment
    ) -> _Running:
        """One that is still to be started."""
        context = multiprocessing.get_context("spawn")
        channel, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(work, given, sender), name=name)
        return cls(name, slot, process, channel, sender)

    def start(self) -> None:
        """Begin; Ctrl-C never reaches the process, not even while it starts."""
        with _environment(self.slot), _without_interrupts():
            self.process.start()
        self.sender.close()  # so that the process's end is heard

    def heard(self) -> tuple[str, Any]:
        """The next message.

        Raises:
            TrainingError: the process has ended without a last one.
        """
        try:
            kind, value = self.channel.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise TrainingError(
                f"{self.name}: its process has ended ({ending(self.process.exitcode)}) before it "
                "was done. If nobody ended it, memory did not do: run fewer at once. Start it "
                "again; what is finished is kept."
            ) from error
        return kind, value


@contextmanager
def _environment(more: Environment) -> Iterator[None]:
    """With some environment variables, which a process that starts in the block takes over."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """With SIGINT held back until the end of the block; a process that starts in it never gets
    one."""
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    resource_tracker.ensure_running()  # it is a process, too, and older Pythons unblock for it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(processes: Sequence[SpawnProcess]) -> None:
    """Ask processes to end, and see to it that they do."""
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.join(GRACE)
    finally:  # Ctrl-C once more, too
        for process in processes:
            process.kill()
            process.join()


def _work(work: Callable[[Any, Tell], Any], given: Any, sender: Connection) -> None:
    """What a process does."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    try:
        with signals_raised():
            found = work(given, lambda line: sender.send((TOLD, line)))
    except Ended as ended:
        sys.exit(ended.exit_code)
    except Exception as error:
        sender.send((FAILED, (portable(error), traceback.format_exc())))
    else:
        sender.send((FOUND, found))


def _end_with_starter() -> None:
    """End this process at once when the one that started it is gone.

    As if it had been killed as well: what it was writing is swept by the next run.
    """
    starter = multiprocessing.parent_process()
    if starter is not None:
        connection.wait([starter.sentinel])
        os._exit(1)
