"""Kills `rtd index` at random moments, starts it again, and compares with an undisturbed index.

    python -m tests.campaign.index_kills --count 40 --seed 0

Rows are written sixteen at a time, so that most kills fall near a write. An index that a kill left
is read: it holds no picture twice and none fewer than before. At the end ids and thumbnails are
those of an undisturbed one, and embeddings up to rounding: batches lie otherwise after a kill.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from rtd_adapters.search.index import Index
from tests.campaign.jobs import asked_for, leftovers, told
from tests.search.index.noise_pictures import draw_noise

PICTURES = 300
CLOSE = 1e-5
OFTEN = """
import sys
from rtd_adapters.cli import main
from rtd_adapters.search.index import building

building.MOST_HELD = 16
main(["index", sys.argv[1], "--out", sys.argv[2], "--backbone", "demo", "-q", "--batch-size", "8"])
"""

Contents = tuple[list[str], list[bytes | None], np.ndarray]


def draw_pictures(folder: Path) -> None:
    """Noise, and one file that is no picture."""
    draw_noise(folder, (f"{n:03}.jpg" for n in range(PICTURES)))
    (folder / "broken.jpg").write_bytes(b"broken")


def start(pictures: Path, out: Path) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    command = [sys.executable, "-c", OFTEN, str(pictures), str(out)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def contents(out: Path) -> Contents:
    """Ids, thumbnails and embeddings."""
    index = Index.open(out)
    ids = sorted(entry.id for entry in index.page(0, 2 * PICTURES))
    return ids, [index.thumbnail(id_) for id_ in ids], index.embeddings(ids)


class Campaign:
    """Kills and restarts, counted."""

    def __init__(self, root: Path, seed: int) -> None:
        self._draw = random.Random(seed)
        self._pictures, self._out = root / "pictures", root / "index"
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        draw_pictures(self._pictures)
        begun = time.monotonic()
        start(self._pictures, root / "whole").communicate()
        self._seconds = time.monotonic() - begun
        self._expected = contents(root / "whole")

    def round(self) -> None:
        """An index made by a run that is killed three times at most."""
        shutil.rmtree(self._out, ignore_errors=True)
        kept: set[str] = set()
        for _ in range(self._draw.randint(1, 3)):
            self._kill()
            kept = self._check_kept(kept)
        run = start(self._pictures, self._out)
        said = run.communicate()[1]
        self.counts["restarts"] += 1
        if run.returncode:
            self.faults.append(f"a restart ended with {run.returncode}: {said[-300:]}")
            return
        ids, thumbnails, embeddings = contents(self._out)
        if (ids, thumbnails) != self._expected[:2]:
            self.faults.append(f"{len(ids)} pictures, and other ones")
        elif not np.allclose(embeddings, self._expected[2], rtol=CLOSE, atol=CLOSE):
            self.faults.append("embeddings are others")

    def _kill(self) -> None:
        run = start(self._pictures, self._out)
        time.sleep(self._draw.uniform(0, self._seconds))
        number = self._draw.choice([signal.SIGKILL, signal.SIGTERM])
        run.send_signal(number)
        said = run.communicate()[1]
        name = "done before" if run.returncode == 0 else number.name
        self.counts[name] += 1
        self.counts["kills"] += 1
        if run.returncode not in (0, -number, 128 + number) or "Traceback" in said:
            self.faults.append(f"{number.name} ended with {run.returncode}: {said[-300:]}")
        if number == signal.SIGTERM and (left := leftovers(self._out)):
            self.faults.append(f"SIGTERM left {left}")

    def _check_kept(self, before: set[str]) -> set[str]:
        """What a kill left to be read: no index yet, or one that holds what it held."""
        if not (self._out / "index.json").exists():
            if before:
                self.faults.append("a kill took the index")
            return before
        ids = contents(self._out)[0]
        if len(ids) != len(set(ids)) or before - set(ids):
            self.faults.append(f"a kill left {len(ids)} pictures, {len(before)} were there before")
        return set(ids)


def main() -> int:
    given = asked_for(__doc__ or "", count=40).parse_args()
    with tempfile.TemporaryDirectory() as root:
        campaign = Campaign(Path(root), given.seed)
        while campaign.counts["kills"] < given.count:
            campaign.round()
    return told(campaign.counts, campaign.faults)


if __name__ == "__main__":
    raise SystemExit(main())
