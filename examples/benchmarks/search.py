"""Our exact search beside faiss's flat index:
python examples/benchmarks/search.py [PICTURES] [QUERIES] [WIDTH] > examples/benchmarks/search.md

Both search one gallery of random unit vectors for the same queries, in turns, and must name the
same first picture; ours counts each query's right answer's rank besides. Peak memory is that of a
process of its own which makes the gallery and searches it as rtd does, less what it takes once its
libraries are imported. Defaults: 1,000,000 pictures, 2,000 queries, width 768, which need 8 GB and
minutes. It takes faiss: pip install faiss-cpu
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from psutil import Process
from torch import Tensor

from rtd_adapters.evaluation.benchmark import EvalQuery
from rtd_adapters.evaluation.search import CountedRanking, Gallery, rankings

DEPTH, ROUNDS = 50, 3
PICTURES, QUERIES, WIDTH = 1_000_000, 2000, 768
MEMORY = "memory"
"""First argument of the process whose memory is measured."""


def units(count: int, width: int, seed: int) -> Tensor:
    """Random unit vectors, made in their place."""
    vectors = torch.empty(count, width).normal_(generator=torch.Generator().manual_seed(seed))
    for part in vectors.split(65536):
        part.copy_(F.normalize(part, dim=-1))
    return vectors


def ours(vectors: Tensor, asked: Tensor) -> list[CountedRanking]:
    """First places, and the rank of one right answer for each query."""
    gallery = Gallery([str(row) for row in range(len(vectors))], vectors)
    step = max(len(vectors) // len(asked), 1)
    answers = [str(row * step % len(vectors)) for row in range(len(asked))]
    queries = [EvalQuery(answer, answer, ("",), (answer,)) for answer in answers]
    return list(rankings(asked, gallery, queries, DEPTH))


def peak(*sizes: int) -> float:
    """Peak memory of a search in a process of its own, in sizes of the gallery."""
    command = [sys.executable, __file__, MEMORY, *map(str, sizes)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_memory(pictures: int, queries: int, width: int) -> None:
    """Make a gallery, search it, and print the process's peak memory over the gallery's size."""
    from resource import RUSAGE_SELF, getrusage

    imported = Process().memory_info().rss
    vectors = units(pictures, width, 0)
    ours(vectors, units(queries, width, 1))
    kilo = 1 if sys.platform == "darwin" else 1024
    print((kilo * getrusage(RUSAGE_SELF).ru_maxrss - imported) / vectors.nbytes)


def timed(search, *inputs):
    """Seconds of a search, and what it found."""
    start = perf_counter()
    found = search(*inputs)
    return perf_counter() - start, found


def compare(vectors: Tensor, asked: Tensor) -> list[tuple[float, float]]:
    """Seconds of ours and of faiss, round after round."""
    try:
        import faiss
    except ImportError:
        sys.exit("This compares with faiss's flat index: pip install faiss-cpu")
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors.numpy())
    rounds = []
    for _ in range(ROUNDS):
        seconds, found = timed(ours, vectors, asked)
        flat, (_, places) = timed(index.search, asked.numpy(), DEPTH)
        same = sum(r.top(1) == [str(p)] for r, p in zip(found, places[:, 0], strict=True))
        assert same >= 0.999 * len(asked), "the two found different pictures"
        rounds.append((seconds, flat))
    return rounds


def main(pictures: int = PICTURES, queries: int = QUERIES, width: int = WIDTH) -> None:
    # First, for a process's peak counts that of the one which started it.
    memory = peak(pictures, queries, width)
    rounds = compare(units(pictures, width, 0), units(queries, width, 1))
    gigabytes = 4 * pictures * width / 1e9
    print(
        f"{pictures:,} pictures x {width} ({gigabytes:.2f} GB), {queries:,} queries, first {DEPTH}"
    )
    print(f"places, fp32; {torch.get_num_threads()} threads of {os.cpu_count()} cores. Medians of")
    print(f"{ROUNDS} rounds in turns; ratios are taken within a round.\n")
    print("| search | seconds |\n|---|---|")
    print(f"| ours, with ranks | {median(own for own, _ in rounds):.2f} |")
    print(f"| faiss IndexFlatIP | {median(flat for _, flat in rounds):.2f} |\n")
    print("| what | measured | bar |\n|---|---|---|")
    print(f"| ours over faiss | {median(own / flat for own, flat in rounds):.2f} | 2 |")
    print(f"| peak memory over the gallery's size | {memory:.2f} | 1.2 |")


if __name__ == "__main__":
    if sys.argv[1:2] == [MEMORY]:
        measure_memory(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
