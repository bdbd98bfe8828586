"""oneDNN against PyTorch's own choice (MKL): python examples/benchmarks/products.py

The three products of a linear layer, at the sizes of CLIP's text towers and a pack of real texts.
Both take turns; a figure is the best of each one's turns. A processor with AVX-512 shows what one
with AVX2 alone would do where the libraries are told so:

    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 python ...
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.clip.onednn import product
from rtd_adapters.jobs.bench.machine import load, processor

SHAPES = [(1600, 512, 2048), (1600, 2048, 512), (640, 768, 3072), (640, 3072, 768)]
"""Rows, width in, width out."""
TURNS = 15


def gflops(rows: int, wide: int, out: int) -> dict[str, tuple[float, float]]:
    """10^9 operations a second of each product: (MKL's, oneDNN's)."""
    x, weight, gradient = torch.randn(rows, wide), torch.randn(out, wide), torch.randn(rows, out)
    operands = {
        "x @ weight.T": (x, weight),
        "for x": (gradient, weight.t()),
        "for weight": (gradient.t(), x.t()),
    }
    work = 2 * rows * wide * out / 1e9
    return {
        name: tuple(work / best for best in taking_turns([F.linear, product], *pair))
        for name, pair in operands.items()
    }


def taking_turns(multiply: list[Callable[..., Tensor]], *operands: Tensor) -> list[float]:
    """Least seconds of each."""
    best = [float("inf")] * len(multiply)
    for _ in range(TURNS):
        for number, function in enumerate(multiply):
            started = time.perf_counter()
            function(*operands)
            best[number] = min(best[number], time.perf_counter() - started)
    return best


def main() -> None:
    print(f"{processor()}, {torch.get_num_threads()} threads, load {load()}\n")
    print("| rows, in, out | product | MKL GFLOP/s | oneDNN GFLOP/s |\n|---|---|---|---|")
    for shape in SHAPES:
        for name, (mkl, onednn) in gflops(*shape).items():
            print(f"| {', '.join(map(str, shape))} | {name} | {mkl:.0f} | {onednn:.0f} |")


if __name__ == "__main__":
    main()
