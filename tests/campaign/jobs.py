"""What the campaigns run: commands that write into a folder, beside files of somebody else."""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LEFT = (".part", ".lock", ".holder")
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

    @property
    def target(self) -> Path:
        """What it is told to write."""
        return Path(self.arguments[self.arguments.index("--out") + 1])

    @property
    def writes_folder(self) -> bool:
        """Whether that is a folder."""
        return not self.target.suffix


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


def sweep_at_once_job(place: Path) -> Job:
    """The same, both at once: processes of its own, which end with it."""
    one = sweep_job(place)
    return Job("at-once", (*one.arguments, "--jobs", "2"), one.foreign, one.out)


def rules_job(place: Path, captions: Path) -> Job:
    """Triplets of some thousand captions."""
    out = place / "t.jsonl"
    words = ("triplets", "rules", str(captions))

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
    """Captions in which there is something to swap."""
    draw = random.Random(0)
    things = ["dog", "cat", "car", "horse", "boat", "tree", "house", "bird"]
    colours = ["red", "blue", "green", "black", "white", "yellow"]
    rows = (
        f"a {draw.choice(colours)} {draw.choice(things)} beside {n} {draw.choice(things)}s"
        for n in range(6_000)
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


def all_jobs(place: Path, inputs: Path) -> list[Job]:
    """One of each kind, with the inputs that they need."""
    inputs.mkdir(parents=True)
    write_captions(inputs / "captions.txt")
    write_export_inputs(inputs)
    return [
        patch_job(place),
        rules_job(place, inputs / "captions.txt"),
        export_job(place, inputs),
        sweep_job(place),
    ]


def put_foreign_files(job: Job, place: Path) -> None:
    """Write what somebody else has there before the job starts."""
    for name in job.foreign:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} of somebody else", encoding="utf-8")


class Runner:
    """Runs commands as forks of this process, which spares them the imports."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def start(self, job: Job, more: tuple[str, ...] = ()) -> int:
        """The process that runs a job."""
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

    def wait(self, pid: int) -> int:
        """How a process ended: its exit code, or less than zero the signal; 124 without an end."""
        deadline = time.monotonic() + LONGEST
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return 124

    def run(self, job: Job, more: tuple[str, ...] = ()) -> int:
        """Run a job to its end."""
        return self.wait(self.start(job, more))

    def said(self) -> str:
        """What the last one printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")


def contents(folder: Path) -> Contents:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): file_bytes(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def file_bytes(path: Path) -> bytes:
    """What a file holds; nothing if it is not there.

    Of a torch archive without its own name, which torch takes from the temporary file's.
    """
    data = path.read_bytes() if path.is_file() else b""
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
    import rtd_adapters.triplets.rules.run  # noqa: F401

    torch.set_num_threads(1)  # a pool of threads does not survive a fork


def asked_for(about: str, count: int) -> argparse.ArgumentParser:
    """The options of a campaign, whose first line says what it does."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def told(counts: Counter[str], faults: Sequence[str]) -> int:
    """Print what came of a campaign; the exit code."""
    for name, count in sorted(counts.items()):
        print(f"{name:<24} {count:5}")
    print(f"{'faults':<24} {len(faults):5}", *faults, sep="\n")
    return int(bool(faults))
