"""What can stand in a job's way: a disk without room, something under its name, other runs."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.jobs import Job

ROOM = 256 << 20
NAMES = 100_000
PAGE = 4096
FILLER = ".filler"
ELSEWHERE = "elsewhere"
NULL_DEVICE = os.makedev(1, 3)
GONE = 2**22 + 1
"""More than any process number of Linux."""
LIVING = 1


class Disk:
    """A file system in memory, mounted at one place."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self) -> None:
        """Mount it, empty."""
        self.place.mkdir(exist_ok=True)
        options = f"size={ROOM},nr_inodes={NAMES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.place], check=True)

    def remount(self, options: str) -> None:
        """Change what it allows."""
        subprocess.run(["mount", "-o", f"remount,{options}", self.place], check=True)

    def unmount(self) -> None:
        """Let it go with all that is on it."""
        subprocess.run(["umount", self.place], check=True)

    def leave_room(self, size: int) -> None:
        """Fill it up to a number of bytes, in whole pages."""
        usage = os.statvfs(self.place)
        taken = usage.f_bfree * usage.f_frsize - size // PAGE * PAGE
        with (self.place / FILLER).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, taken)

    def leave_names(self, count: int) -> None:
        """Allow this number of further files."""
        usage = os.statvfs(self.place)
        self.remount(f"nr_inodes={usage.f_files - usage.f_ffree + count}")


@dataclass(frozen=True)
class Obstacle:
    """How it comes, how it goes, and whether a job has to refuse."""

    name: str
    come: Callable[[Disk, Job, int], None]
    """Is told how many bytes the job keeps in the end."""
    go: Callable[[Disk, Job], None] | None = None
    refused: bool = False


def all_obstacles() -> list[Obstacle]:
    """Disks first, then what bears the name already, then what other runs left or have in work."""
    return [
        *(full_disk(share) for share in (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)),
        Obstacle("no room for names", _few_names, lambda disk, job: disk.remount(_all_names())),
        Obstacle("read-only", _read_only, lambda disk, job: disk.remount("rw"), refused=True),
        Obstacle("a link to elsewhere", _link),
        Obstacle("a link to nowhere", _under_its_name(_dangling), _clear),
        Obstacle("links in a circle", _under_its_name(_circle), _clear, refused=True),
        Obstacle("a pipe", _under_its_name(os.mkfifo), _clear, refused=True),
        Obstacle("a device", _under_its_name(_device), _clear, refused=True),
        Obstacle("the wrong kind", _wrong_kind, _clear, refused=True),
        Obstacle("what a dead run left", _dead_run),
        Obstacle("what a living run has in work", _living_run),
    ]


def full_disk(share: float) -> Obstacle:
    """A disk that has room for a share of what the job keeps."""

    def come(disk: Disk, job: Job, size: int) -> None:
        disk.leave_room(int(share * size))

    def go(disk: Disk, job: Job) -> None:
        (disk.place / FILLER).unlink()

    return Obstacle(f"room for {share:.0%}", come, go)


def _all_names() -> str:
    return f"nr_inodes={NAMES}"


def _few_names(disk: Disk, job: Job, size: int) -> None:
    disk.leave_names(3)


def _read_only(disk: Disk, job: Job, size: int) -> None:
    disk.remount("ro")


def _under_its_name(make: Callable[[Path], None]) -> Callable[[Disk, Job, int], None]:
    """Something that bears the output's name; what was there waits elsewhere."""

    def come(disk: Disk, job: Job, size: int) -> None:
        if job.target.exists():
            job.target.rename(disk.place / ELSEWHERE)
        make(job.target)

    return come


def _clear(disk: Disk, job: Job) -> None:
    if job.target.is_dir() and not job.target.is_symlink():
        job.target.rmdir()
    else:
        job.target.unlink(missing_ok=True)
    if (disk.place / ELSEWHERE).exists():
        (disk.place / ELSEWHERE).rename(job.target)


def _link(disk: Disk, job: Job, size: int) -> None:
    """To a folder where the output is one, else to a file that shall be written."""
    elsewhere = disk.place / ELSEWHERE
    if not job.target.exists():
        elsewhere.mkdir() if job.writes_folder else elsewhere.touch()
    _under_its_name(lambda path: path.symlink_to(elsewhere))(disk, job, size)


def _dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "at" / "all")


def _circle(path: Path) -> None:
    path.symlink_to(path)


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, NULL_DEVICE)


def _wrong_kind(disk: Disk, job: Job, size: int) -> None:
    """A file where a folder is to be, and the other way round."""
    _under_its_name(Path.touch if job.writes_folder else Path.mkdir)(disk, job, size)


def _dead_run(disk: Disk, job: Job, size: int) -> None:
    """Locks and a half-written file of a process that is no more: swept."""
    for path in _handles(job.target, GONE):
        path.write_text(f'{{"pid": {GONE}, "host": "{socket.gethostname()}"}}', encoding="utf-8")


def _living_run(disk: Disk, job: Job, size: int) -> None:
    """A half-written file of a process that is alive: stays."""
    _handles(job.target, LIVING)[-1].write_text("half", encoding="utf-8")


def _handles(target: Path, pid: int) -> list[Path]:
    host = "".join(c for c in socket.gethostname() if c.isalnum())[:32]
    endings = ("lock", "holder", f"{host}-{pid}-abcdefgh.part")
    return [target.with_name(f".{target.name}.{ending}") for ending in endings]
