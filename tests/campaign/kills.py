"""Kills real runs at random moments, starts them again, and compares with undisturbed ones.

    python -m tests.campaign.kills --count 200 --seed 0

After each kill and restart every byte must be as an undisturbed run leaves it: outputs, metrics and
checkpoints, files of other people beside and inside, and no temporary file, lock or journal. The
runs are forks of this process, which spares them the imports.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.campaign.jobs import (
    Contents,
    Job,
    Runner,
    all_jobs,
    asked_for,
    contents,
    differing,
    leftovers,
    load_all,
    put_foreign_files,
    sweep_at_once_job,
    told,
)

JOBS = ("patch", "rules", "export", "sweep", "at-once")

AGAIN = 0.3
"""How often a restart is killed, too."""


class Campaign:
    """Kills and restarts, counted."""

    def __init__(self, root: Path, seed: int, names: Sequence[str]) -> None:
        self.place = root / "place"
        every = [*all_jobs(self.place, root / "inputs"), sweep_at_once_job(self.place)]
        self.jobs = [job for job in every if job.name in names]
        self._draw = random.Random(seed)
        self._runner = Runner(root / "log")
        self._known: dict[str, tuple[Contents, float]] = {}
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def run(self, count: int) -> None:
        """Kill `count` runs, each kind of job in its turn."""
        turn = 0
        while self.counts["kills"] < count:
            self._round(self.jobs[turn % len(self.jobs)])
            turn += 1

    def _round(self, job: Job) -> None:
        """A run killed once or more, then led to its end."""
        expected, seconds = self._undisturbed(job)
        self._prepare(job)
        more: tuple[str, ...] = ()
        while True:
            self._kill(job, more, self._draw.uniform(0, seconds))
            self._check_after_kill(job, expected)
            more = job.restart(self.place)
            if self._draw.random() > AGAIN:
                break
        self.counts["restarts"] += 1
        code = self._runner.run(job, more)
        if code != 0:
            self._fault(job, f"restart with {more} ended with {code}: {self._runner.said()[-300:]}")
        elif (found := contents(self.place)) != expected:
            self._fault(job, f"after the restart differ: {differing(found, expected)}")

    def _undisturbed(self, job: Job) -> tuple[Contents, float]:
        """What the job leaves when nothing happens to it, and how long it takes."""
        if job.name not in self._known:
            self._prepare(job)
            started = time.perf_counter()
            code = self._runner.run(job)
            if code != 0:
                raise SystemExit(f"{job.name} fails undisturbed: {self._runner.said()[-300:]}")
            self._known[job.name] = contents(self.place), time.perf_counter() - started
        return self._known[job.name]

    def _prepare(self, job: Job) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        put_foreign_files(job, self.place)

    def _kill(self, job: Job, more: tuple[str, ...], after: float) -> None:
        before = leftovers(self.place)
        pid = self._runner.start(job, more)
        time.sleep(after)
        number = self._draw.choice([signal.SIGKILL, signal.SIGTERM])
        os.kill(pid, number)  # a process that has ended waits, unreaped, for its parent
        code = self._runner.wait(pid)
        name = "done before" if code == 0 else number.name
        self.counts["kills"] += 1
        self.counts[f"{job.name}: {name}"] += 1
        if code not in (0, -number, 128 + number):
            self._fault(
                job, f"{number.name} with {more} ended with {code}: {self._runner.said()[-300:]}"
            )
        if number == signal.SIGTERM and (left := leftovers(self.place) - before):
            self._fault(job, f"SIGTERM left {left}")

    def _check_after_kill(self, job: Job, expected: Contents) -> None:
        """What bears its name is whole, and what is somebody else's is there."""
        found = contents(self.place)
        whole = {name: data for name, data in expected.items() if name.startswith(job.out)}
        present = {name: data for name, data in found.items() if name.startswith(job.out)}
        present = {name: data for name, data in present.items() if ".work" not in name}
        whole = {name: data for name, data in whole.items() if ".work" not in name}
        if present and present != whole:
            self._fault(job, f"a kill left half of it: {differing(present, whole)}")
        gone = [name for name in job.foreign if name not in found]
        if gone:
            self._fault(job, f"a kill took {gone}")

    def _fault(self, job: Job, what: str) -> None:
        self.faults.append(f"{job.name}: {what}")


def main() -> int:
    parser = asked_for(__doc__ or "", count=200)
    parser.add_argument("--job", choices=JOBS, nargs="*", default=JOBS)
    given = parser.parse_args()
    load_all()
    with tempfile.TemporaryDirectory() as root:
        campaign = Campaign(Path(root), given.seed, given.job)
        campaign.run(given.count)
    return told(campaign.counts, campaign.faults)


if __name__ == "__main__":
    raise SystemExit(main())
