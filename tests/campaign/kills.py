"""Kills real runs at random moments, starts them again, and compares with undisturbed ones.

    python -m tests.campaign.kills --count 200 --seed 0

After each kill and restart every byte must be as an undisturbed run leaves it: outputs, metrics and
checkpoints, files of other people beside and inside, and no temporary file, lock or journal. The
runs are forks of this process, which spares them the imports.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LEFT = (".part", ".lock", ".holder")
AGAIN = 0.3
"""How often a restart is killed, too."""
LONGEST = 300
NOTES = "notes.txt"

Contents = dict[str, bytes]


@dataclass(frozen=True)
class Job:
    """A command that writes into a folder of its own."""

    name: str
    arguments: tuple[str, ...]
    foreign: tuple[str, ...]
    """Files of somebody else, which are there before it starts."""
    out: str
    """What it writes; a restart needs --overwrite once it is there."""
    restart: Callable[[Path], tuple[str, ...]] = lambda place: ()
    """What to add when it is started again."""


def patch_job(place: Path) -> Job:
    """Six steps with a checkpoint each, in a run folder that is kept."""
    from rtd_adapters.training.run_folder import has_checkpoint

    def restart(place: Path) -> tuple[str, ...]:
        if (place / "p.safetensors").exists():
            return ("--overwrite",)
        return ("--resume",) if has_checkpoint(place / "run") else ()

    words = "patch --method searle --max-steps 6 --batch-size 4 --checkpoint-every 1 --quiet"
    outputs = ("--out", str(place / "p.safetensors"), "--run-dir", str(place / "run"))
    foreign = (NOTES, f"run/{NOTES}", "run/step-by-step.md")
    return Job("patch", (*words.split(), *outputs), foreign, "p.safetensors", restart)


def sweep_job(place: Path) -> Job:
    """Two patches of two steps."""
    words = "sweep --method searle --noise-scale 0,0.5 --max-steps 2 --out"
    arguments = (*words.split(), str(place / "noise"))
    return Job("sweep", arguments, (NOTES, f"noise/{NOTES}"), "noise/sweep.html")


def rules_job(place: Path, captions: Path) -> Job:
    """Triplets of some thousand captions."""
    out = place / "t.jsonl"
    words = ("triplets", "rules", str(captions), "--keywords", "word-list", "--min-count", "1")

    def restart(place: Path) -> tuple[str, ...]:
        return ("--overwrite",) if out.exists() else ()

    arguments = (*words, "--quiet", "--out", str(out))
    return Job("rules", arguments, (NOTES, f"t.jsonl.work/{NOTES}"), out.name, restart)


def export_job(place: Path, inputs: Path) -> Job:
    """A folder, which takes the place of an older one each time."""
    names = ("p.safetensors", "clip.pt", "phi.safetensors")
    patch, base, projection = (str(inputs / name) for name in names)
    words = ("export", patch, "--for", "searle", "--base", base, "--projection", projection)
    arguments = (*words, "--out", str(place / "patched"), "--overwrite")
    return Job("export", arguments, (NOTES,), "patched")


def write_captions(path: Path) -> None:
    """Captions in which the word list finds something to swap."""
    draw = random.Random(0)
    things = ["dog", "cat", "car", "horse", "boat", "tree", "house", "bird"]
    colours = ["red", "blue", "green", "black", "white", "yellow"]
    rows = (
        f"a {draw.choice(colours)} {draw.choice(things)} beside {n} {draw.choice(things)}s"
        for n in range(20_000)
    )
    path.write_text("\n".join(rows), encoding="utf-8")


def write_export_inputs(folder: Path) -> None:
    """A small CLIP in OpenAI's names, a patch of it and a projection."""
    import torch
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    from safetensors.torch import save_file

    from rtd_adapters import Backbone, BackboneShape, TextEncoderPatch, get_method
    from rtd_adapters.clip.text import tower_from_state_dict

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=16, image_size=32)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=1)
    clip = {
        name: t.clone() for name, t in CLIP(32, vision, text, quick_gelu=True).state_dict().items()
    }
    torch.save(clip, folder / "clip.pt")
    shape = BackboneShape(32, 64, 64)
    tower = tower_from_state_dict(clip, heads=1, activation="quick_gelu")
    method = get_method("searle")
    patch = TextEncoderPatch.create(
        "full", Backbone("small", None, tower, shape, None, None), method
    )
    patch.save(folder / "p.safetensors")
    save_file(method.build_projection(shape).state_dict(), folder / "phi.safetensors")


class Campaign:
    """Kills and restarts, counted."""

    def __init__(self, root: Path, seed: int) -> None:
        self.place, inputs = root / "place", root / "inputs"
        inputs.mkdir(parents=True)
        write_captions(inputs / "captions.txt")
        write_export_inputs(inputs)
        self.jobs = [
            patch_job(self.place),
            rules_job(self.place, inputs / "captions.txt"),
            export_job(self.place, inputs),
            sweep_job(self.place),
        ]
        self._draw = random.Random(seed)
        self._log = root / "log"
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
        code = self._wait(self._start(job, more))
        if code != 0:
            self._fault(job, f"restart with {more} ended with {code}: {self._said()}")
        elif (found := contents(self.place)) != expected:
            self._fault(job, f"after the restart differ: {differing(found, expected)}")

    def _undisturbed(self, job: Job) -> tuple[Contents, float]:
        """What the job leaves when nothing happens to it, and how long it takes."""
        if job.name not in self._known:
            self._prepare(job)
            started = time.perf_counter()
            code = self._wait(self._start(job))
            if code != 0:
                raise SystemExit(f"{job.name} fails undisturbed: {self._said()}")
            self._known[job.name] = contents(self.place), time.perf_counter() - started
        return self._known[job.name]

    def _prepare(self, job: Job) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        for name in job.foreign:
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} of somebody else", encoding="utf-8")

    def _kill(self, job: Job, more: tuple[str, ...], after: float) -> None:
        before = leftovers(self.place)
        pid = self._start(job, more)
        time.sleep(after)
        number = self._draw.choice([signal.SIGKILL, signal.SIGTERM])
        os.kill(pid, number)  # a process that has ended waits, unreaped, for its parent
        code = self._wait(pid)
        name = "done before" if code == 0 else number.name
        self.counts["kills"] += 1
        self.counts[f"{job.name}: {name}"] += 1
        if code not in (0, -number, 128 + number):
            self._fault(job, f"{number.name} with {more} ended with {code}: {self._said()}")
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

    def _start(self, job: Job, more: tuple[str, ...] = ()) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1), os.dup2(log, 2)
            from rtd_adapters.cli import main

            main([*job.arguments, *more])
        except SystemExit as exit_:
            os._exit(exit_.code if isinstance(exit_.code, int) else 1)
        finally:
            os._exit(70)

    def _wait(self, pid: int) -> int:
        deadline = time.monotonic() + LONGEST
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return 124

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-300:]

    def _fault(self, job: Job, what: str) -> None:
        self.faults.append(f"{job.name}: {what}")


def contents(folder: Path) -> Contents:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): _bytes(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _bytes(path: Path) -> bytes:
    """Of a torch archive without its own name, which torch takes from the temporary file's."""
    data = path.read_bytes()
    if path.suffix != ".pt" or not zipfile.is_zipfile(path):
        return data
    with zipfile.ZipFile(path) as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    return repr(sorted(parts.items())).encode()


def differing(found: Contents, expected: Contents) -> list[str]:
    """Names whose bytes differ, or that are in one alone."""
    return sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))


def leftovers(folder: Path) -> set[str]:
    """Temporary files and handles of locks."""
    return {str(p.relative_to(folder)) for p in folder.rglob(".*") if p.name.endswith(LEFT)}


def load_all() -> None:
    """Import what the jobs need, once for all."""
    import torch

    import rtd_adapters.jobs.patch
    import rtd_adapters.jobs.sweep
    import rtd_adapters.triplets.rules  # noqa: F401

    torch.set_num_threads(1)  # a pool of threads does not survive a fork


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    load_all()
    with tempfile.TemporaryDirectory() as root:
        campaign = Campaign(Path(root), given.seed)
        campaign.run(given.count)
    for name, count in sorted(campaign.counts.items()):
        print(f"{name:<20} {count:5}")
    print(f"{'faults':<20} {len(campaign.faults):5}", *campaign.faults, sep="\n")
    return int(bool(campaign.faults))


if __name__ == "__main__":
    raise SystemExit(main())
