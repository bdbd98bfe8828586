"""The fast step beside the official code's own: python examples/benchmarks/official.py CHECKOUT

CHECKOUT is a clone of RTD's repository, whose functions are called as its training loop calls them:
its projection, its encoding with pseudo tokens (repaired as `rtd run` does, which newer
transformers need) and its loss. The models have ViT-B/32's size and random weights; texts are
the built-in world's, padded to 77 tokens as there. Steps take turns; factors are medians within a
round. Each side's peak of memory is taken in a process of its own, above what it had before its
towers were built. The floor is the time that a step's matrix products take at the fastest product
seen in the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.jobs.bench.cases import BenchCase
from rtd_adapters.jobs.bench.machine import load, matmul_gflops, processor
from rtd_adapters.jobs.bench.probe import probe
from rtd_adapters.jobs.bench.stepper import Stepper
from rtd_adapters.jobs.bench.texts import CONTEXT_LENGTH, bench_method, triplet_stream
from rtd_adapters.jobs.memory import peak_mb, resident_mb
from rtd_adapters.launcher.encode_repair import repair_encode
from rtd_adapters.training.batches import TripletBatch

ROUNDS, BATCH, BACKBONE = 5, 32, "ViT-B-32"
WIDTH, NOISE, TEMPERATURE, RATE = 512, 0.5, 0.07, 1e-5
LIMIT = 600.0
"""Seconds that a measurement of memory may take."""


class Official:
    """Takes the official script's steps."""

    def __init__(self, checkout: str) -> None:
        sys.path.insert(0, checkout)
        import encode_with_pseudo_tokens as encoding
        import models
        import utils

        repair_encode(encoding, lambda _: None)
        self._encode = encoding.encode_with_pseudo_tokens_HF
        self._loss = utils.contrastive_loss
        self._frozen, self._student = tower(), tower()
        self._student.load_state_dict(self._frozen.state_dict())
        self._frozen.requires_grad_(False)
        phi = models.Phi(input_dim=WIDTH, hidden_dim=4 * WIDTH, output_dim=WIDTH, dropout=0.5)
        self._phi = phi.eval().requires_grad_(False)
        self._optimizer = torch.optim.AdamW(self._student.parameters(), lr=RATE, weight_decay=0.01)
        self._tokenizer = Tokenizer(CONTEXT_LENGTH, bench_method().placeholder)

    def step(self, batch: TripletBatch) -> float:
        """Seconds of one step, without the tokenizing."""
        method = bench_method()
        composed = [method.composed_prompt.format(text=text) for text in batch.conditioning]
        target, reference = map(self._tokenizer.encode, (batch.targets, batch.references))
        bare = [method.bare_prompt] * len(batch)
        prompts = self._tokenizer.encode_prompts([*composed, *bare])
        started = time.perf_counter()
        with torch.no_grad():
            anchors = self._frozen(input_ids=torch.cat([target, reference])).text_embeds
            features = self._frozen(input_ids=reference).text_embeds
            scale = NOISE * torch.rand(len(features), 1)
            pseudo = self._phi(features + scale * torch.randn_like(features))
        found, _ = self._encode(
            self._student, prompts, torch.cat([pseudo, pseudo]), return_last_states=True
        )
        self._loss(anchors, found, TEMPERATURE).backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        return time.perf_counter() - started


def tower() -> Any:
    """transformers' text tower of ViT-B/32's size, with random weights."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_attention_heads=8,
        projection_dim=WIDTH,
        eos_token_id=49407,
        bos_token_id=49406,
    )
    torch.manual_seed(0)
    return CLIPTextModelWithProjection(config)


def official_memory(checkout: str) -> float:
    """Peak MB of two official steps in a process of its own."""
    command = [sys.executable, __file__, checkout, "--memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure_here(checkout: str) -> None:
    stream = triplet_stream(BATCH)
    batches = [stream.batch(number) for number in range(2)]
    base = resident_mb()
    official = Official(checkout)
    for batch in batches:
        official.step(batch)
    print(json.dumps(peak_mb() - base))


def main(checkout: str) -> None:
    stream = triplet_stream(BATCH)
    batches = [stream.batch(number) for number in range(ROUNDS + 1)]
    cases = {kind: BenchCase(BACKBONE, kind, BATCH, engine="fast") for kind in ("full", "lora")}
    steppers = {kind: Stepper(case, batches) for kind, case in cases.items()}
    work = {kind: stepper.operations(batches[0]) / 1e9 for kind, stepper in steppers.items()}
    steps: dict[str, Callable[[TripletBatch], float]] = {"official": Official(checkout).step}
    steps |= {f"fast, {kind}": stepper.step for kind, stepper in steppers.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    peaks, loads = [], []
    for number, batch in enumerate(batches):
        peaks.append(matmul_gflops())
        loads.append(load())
        for name, step in steps.items():
            seconds = step(batch)
            if number:
                times[name].append(seconds)
    memory = {"official": official_memory(checkout)}
    for kind, case in cases.items():
        found = probe(case, LIMIT)
        memory[f"fast, {kind}"] = found.peak_memory_mb if found else float("nan")
    peak = max(peaks)
    print(f"{processor()}, {torch.get_num_threads()} threads, load {loads}, {peak:.0f} GFLOP/s\n")
    print("| step | s | times official | of floor | peak MB | of official |")
    print("|---" * 6 + "|")
    for name, taken in times.items():
        factor = median(a / b for a, b in zip(times["official"], taken, strict=True))
        kind = name.removeprefix("fast, ")
        floor = f"{work[kind] / peak / median(taken):.0%}" if kind in work else ""
        share = memory[name] / memory["official"]
        print(
            f"| {name} | {median(taken):.2f} | {factor:.1f} | {floor} | {memory[name]:,.0f} "
            f"| {share:.0%} |"
        )


if __name__ == "__main__":
    if "--memory" in sys.argv:
        measure_here(sys.argv[1])
    else:
        main(sys.argv[1])
