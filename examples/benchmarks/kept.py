"""Memory that embedding and searching take where embeddings are kept, and in memory:
python examples/benchmarks/kept.py [PICTURES] [QUERIES] [WIDTH] > examples/benchmarks/kept.md

Random embeddings are kept in shards and merged, then searched as they lie on disk and brought into
memory, each as rtd does it and in a process of its own; both searches must find the same, to the
last bit. Memory is anonymous memory (RssAnon, so that it takes Linux), the peak less what there is
after imports; pages of files, which the system takes back where it needs them, are not counted.
Defaults: 400,000 pictures, 200 queries, width 768, which need 2.5 GB of disk and a minute.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.compute.processes import Processes
from rtd_adapters.evaluation.benchmark import EvalQuery
from rtd_adapters.evaluation.kept import KeptEmbeddings
from rtd_adapters.evaluation.rows import Rows
from rtd_adapters.evaluation.search import Gallery, rankings
from rtd_adapters.evaluation.shards import Shards

PICTURES, QUERIES, WIDTH, DEPTH, BATCH = 400_000, 200, 768, 50, 64
TURN = 0.002
"""Seconds between two looks at the memory."""
STAGES = {
    "make": "embedded, kept in shards, and merged",
    "kept": "searched, mapped from the kept file",
    "memory": "searched, brought into memory",
}


def drawn(batches: Sequence[range], width: int) -> Iterator[Tensor]:
    """Random embeddings in the place of an image tower's."""
    draw = torch.Generator().manual_seed(0)
    for batch in batches:
        yield torch.randn(len(batch), width, generator=draw)


def search(rows: Rows, queries: int, width: int) -> str:
    """A hash of all that is found: first places, and the rank of one right answer each."""
    asked = F.normalize(torch.randn(queries, width, generator=torch.Generator().manual_seed(1)))
    step = max(len(rows) // queries, 1)
    answers = [str(row * step % len(rows)) for row in range(queries)]
    questions = [EvalQuery(answer, answer, ("",), (answer,)) for answer in answers]
    gallery = Gallery([str(row) for row in range(len(rows))], rows)
    found = [(r.top(DEPTH), r.counted) for r in rankings(asked, gallery, questions, DEPTH)]
    return hashlib.sha256(repr(found).encode()).hexdigest()


def run(stage: str, kept: KeptEmbeddings, queries: int) -> str:
    """One stage; returns what it found."""
    if stage == "make":
        split = Shards(kept.shape, BATCH, kept, Processes(), torch.device("cpu"), quiet=True)
        split.embeddings(lambda batches: drawn(batches, kept.shape[1]))
        return ""
    rows = kept.whole()
    assert rows is not None
    return search(rows[:] if stage == "memory" else rows, queries, kept.shape[1])


def anonymous() -> int:
    """Bytes of this process that are no file's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon:"))
    return 1024 * int(line.split()[1])


def measure(stage: str, folder: str, *sizes: int) -> None:
    """Run a stage, and print peak memory, seconds, and what was found."""
    pictures, queries, width = sizes
    torch.ones(64, 64) @ torch.ones(64, 64)
    before, peaks, done = anonymous(), [0], Event()

    def watch() -> None:
        while not done.wait(TURN):
            peaks.append(anonymous())

    watcher = Thread(target=watch)
    watcher.start()
    start = perf_counter()
    found = run(stage, KeptEmbeddings(Path(folder), "random", (pictures, width)), queries)
    seconds = perf_counter() - start
    done.set()
    watcher.join()
    print(json.dumps([max(peaks) - before, seconds, found]))


def main(pictures: int = PICTURES, queries: int = QUERIES, width: int = WIDTH) -> None:
    rows, found = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for stage, title in STAGES.items():
            command = [
                sys.executable,
                __file__,
                stage,
                folder,
                *map(str, (pictures, queries, width)),
            ]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            peak, seconds, found[stage] = json.loads(done.stdout)
            rows.append(f"| {title} | {peak / 1e6:,.0f} | {seconds:.1f} |")
    assert found["kept"] == found["memory"], "the two searches found different pictures"
    megabytes = 4 * pictures * width / 1e6
    print(
        f"{pictures:,} pictures x {width} ({megabytes:,.0f} MB in fp32), {queries:,} queries, first"
    )
    print(
        f"{DEPTH} places and ranks; {torch.get_num_threads()} threads of {os.cpu_count()} cores.\n"
    )
    print("| what | peak of anonymous memory, MB | seconds |\n|---|---|---|")
    print(*rows, sep="\n")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in STAGES:
        measure(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main(*map(int, sys.argv[1:]))
