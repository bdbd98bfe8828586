"""Runs real jobs on hostile disks and beside neighbours: python -m tests.campaign.disks.

Each job meets each obstacle of `obstacles`, and another run that is at work or dies. It must end
well with the bytes of an undisturbed run, or with one message that was foreseen; what was there
stays, nothing is left behind, and once the obstacle is gone the job leads to those bytes. The disks
are real ones in memory, so this needs root, or `unshare -rm` before the command.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.campaign.jobs import (
    Contents,
    Job,
    Runner,
    all_jobs,
    contents,
    file_bytes,
    leftovers,
    load_all,
    put_foreign_files,
)
from tests.campaign.obstacles import ELSEWHERE, FILLER, Disk, Obstacle, all_obstacles

JOBS = ["export", "rules", "patch", "sweep"]
FAILED, WRONG_USAGE = 1, 2
PATIENCE = 120
OVERWRITE = ("--overwrite",)


class Campaign:
    """Cases tried, and what went wrong in them."""

    def __init__(self, root: Path) -> None:
        self._disk = Disk(root / "place")
        self.jobs = all_jobs(self._disk.place, root / "inputs")
        self._runner, self._other = Runner(root / "log"), Runner(root / "other-log")
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def run(self, names: set[str]) -> None:
        """Every job of these names in every case."""
        for job in (job for job in self.jobs if job.name in names):
            with self._fresh_disk(job):
                if self._runner.run(job) != 0:
                    raise SystemExit(f"{job.name} fails undisturbed: {self._runner.said()}")
                expected, size = contents(self._disk.place), _size(self._disk.place)
            for obstacle in all_obstacles():
                with self._fresh_disk(job):
                    self._meet(job, obstacle, expected, size)
            for dies in (False, True):
                with self._fresh_disk(job):
                    self._meet_another(job, dies, expected)

    @contextmanager
    def _fresh_disk(self, job: Job) -> Iterator[None]:
        self._disk.mount()
        try:
            put_foreign_files(job, self._disk.place)
            yield
        finally:
            self._disk.unmount()

    def _meet(self, job: Job, obstacle: Obstacle, expected: Contents, size: int) -> None:
        """Run into an obstacle; where that ended the run, remove it and run again."""
        what = f"{job.name}, {obstacle.name}"
        foreign = set(contents(self._disk.place))
        obstacle.come(self._disk, job, size)
        stands, left = _kind(job.target), leftovers(self._disk.place)
        code = self._runner.run(job, job.restart(self._disk.place))
        print(f"{what}: {code}", flush=True)
        self._judge(what, code, obstacle.refused)
        if new := leftovers(self._disk.place) - left:
            self._fault(what, f"left {new}")
        if obstacle.go is None:
            if _kind(job.target) != stands and stands is not None:
                self._fault(what, "replaced what bore the name")
            self._require_equal(what, expected)
            return
        if code != 0:
            if _kind(job.target) != stands:
                self._fault(what, "touched what bore the name")
            obstacle.go(self._disk, job)
            self._lead_to_end(what, job, foreign, expected)
        elif obstacle.name.startswith("room"):
            obstacle.go(self._disk, job)
            self._require_equal(what, expected)

    def _meet_another(self, job: Job, dies: bool, expected: Contents) -> None:
        """Start a second run while the first one is held in mid-work; then it goes on, or dies."""
        what = f"{job.name}, another run " + ("that dies" if dies else "at work")
        first = self._other.start(job)
        self._wait_for_holder(first)
        os.kill(first, signal.SIGSTOP)
        more = () if "--overwrite" in job.arguments or job.writes_folder else OVERWRITE
        code = self._runner.run(job, more)
        self._judge(what, code, True)
        if f"another run (process {first} on" not in self._runner.said():
            self._fault(what, f"does not name it: {self._runner.said()[-300:]}")
        os.kill(first, signal.SIGKILL if dies else signal.SIGCONT)
        if dies:
            self._other.wait(first)
            self._lead_to_end(what, job, set(), expected)
        elif (code := self._other.wait(first)) != 0:
            self._fault(what, f"the first ended with {code}: {self._other.said()[-300:]}")
        else:
            self._require_equal(what, expected)

    def _wait_for_holder(self, pid: int) -> None:
        """Until the first run holds its place and has said so."""
        deadline = time.monotonic() + PATIENCE
        while not any(path.stat().st_size for path in self._disk.place.rglob(".*.holder")):
            if time.monotonic() > deadline:
                raise SystemExit(f"process {pid} never said that it holds its place")
            time.sleep(0.001)

    def _lead_to_end(self, what: str, job: Job, foreign: set[str], expected: Contents) -> None:
        """Nothing stands in the way any more."""
        if gone := foreign - set(contents(self._disk.place)):
            self._fault(what, f"took {gone}")
        code = self._runner.run(job, job.restart(self._disk.place))
        if code != 0:
            self._fault(what, f"afterwards ended with {code}: {self._runner.said()[-300:]}")
        self._require_equal(what, expected)

    def _judge(self, what: str, code: int, must_refuse: bool) -> None:
        """An exit code with what was said."""
        said = self._runner.said()
        self.counts["ended well" if code == 0 else "refused or stopped with a message"] += 1
        if code not in (0, FAILED, WRONG_USAGE):
            self._fault(what, f"ended with {code}: {said[-300:]}")
        elif code == 0 and must_refuse:
            self._fault(what, "was not refused")
        elif code != 0 and (said.count("Error:") != 1 or "foreseen" in said):
            self._fault(what, f"no clear message: {said[-600:]}")

    def _require_equal(self, what: str, expected: Contents) -> None:
        """Every byte as in an undisturbed run, through links; nothing more."""
        place = self._disk.place
        wrong = [name for name, data in expected.items() if file_bytes(place / name) != data]
        more = set(contents(place)) - set(expected) - leftovers(place) - {FILLER}
        more = {name for name in more if not name.startswith(ELSEWHERE)}
        if wrong or more:
            self._fault(what, f"missing or different: {wrong}, more: {sorted(more)}")

    def _fault(self, what: str, wrong: str) -> None:
        self.faults.append(f"{what}: {wrong}")
        print(f"FAULT {self.faults[-1]}", flush=True)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _kind(path: Path) -> tuple[int, str] | None:
    """What bears a name: its kind and, of a link, where it leads; None for nothing."""
    if not os.path.lexists(path):
        return None
    return path.lstat().st_mode & 0o170000, str(path.readlink()) if path.is_symlink() else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--job", choices=JOBS, nargs="*", default=JOBS)
    given = parser.parse_args()
    load_all()
    with tempfile.TemporaryDirectory() as root:
        campaign = Campaign(Path(root))
        campaign.run(set(given.job))
    for name, count in sorted(campaign.counts.items()):
        print(f"{name:<36} {count:5}")
    print(f"{'faults':<36} {len(campaign.faults):5}")
    return int(bool(campaign.faults))


if __name__ == "__main__":
    raise SystemExit(main())
