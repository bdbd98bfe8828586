"""What each part of the fast step brings: python examples/benchmarks/speed.py [BACKBONE] [BATCH].

Every row adds a part to the row above. The steps take turns, round after round, so that a busy
machine slows all of them; times and factors are medians over the rounds, and factors are taken
within a round.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from statistics import median
from unittest.mock import patch

import torch

from rtd_adapters.clip import onednn
from rtd_adapters.clip.text import TextTower
from rtd_adapters.jobs.bench.cases import BenchCase
from rtd_adapters.jobs.bench.stepper import Stepper
from rtd_adapters.jobs.bench.texts import triplet_stream
from rtd_adapters.methods.query import query_ids
from rtd_adapters.training import anchors, fast_engine, packed_texts, packed_tower

ROUNDS = 5


def padded(tower, tokenizer, queries, recompute=False, packs=None):
    """All prompts by the tower's own forward, padded to the longest of their query."""
    rows = []
    for query in queries:
        ids = tower.trimmed(query_ids(tokenizer, query))
        rows.append(tower(ids, query.pseudo_tokens, tokenizer.placeholder_id))
    return torch.cat(rows)


def padded_compositions(tower, tokenizer, compositions, recompute=False, packs=None):
    """All compositions likewise."""
    return [
        part.combined([padded(tower, tokenizer, [q]) for q in part.queries])
        for part in compositions
    ]


def without_sharing(tower, ids, keys):
    """A pack in which no two texts share anything."""
    apart = torch.arange(len(keys))[:, None] * (int(keys.max()) + 1)
    return packed_tower.pack_texts(tower, ids, keys + apart)


PADDED = [
    (fast_engine, "embed_compositions", padded_compositions),
    (anchors, "embed_queries", padded),
]
APART = (packed_texts, "pack_texts", without_sharing)
WHOLE = (TextTower, "reads_one", False)
MKL = (onednn, "_gains", lambda: onednn.NOTHING)


class Variant:
    """A stepper with parts of the fast step taken out."""

    def __init__(self, title, case, replaced=(), dense_table=False):
        self.title, self.replaced = title, replaced
        self.stepper = Stepper(case, BATCHES)
        if dense_table:
            self.stepper.towers.student.token_embedding.sparse = False

    def step(self, batch):
        """Seconds of one step."""
        with ExitStack() as stack:
            for module, name, value in self.replaced:
                stack.enter_context(patch.object(module, name, value))
            return self.stepper.step(batch)


backbone = sys.argv[1] if len(sys.argv) > 1 else "ViT-B-32"
batch_size = int(sys.argv[2]) if len(sys.argv) > 2 else 32
reference, quick, cached, half = BenchCase(backbone, "full", batch_size).variants()
STREAM = triplet_stream(batch_size)
BATCHES = [STREAM.batch(number) for number in range(ROUNDS + 1)]
variants = [
    Variant("reference", reference),
    Variant("captions once, texts trimmed to the longest", quick, [*PADDED, MKL], dense_table=True),
    Variant("packed: no padding", quick, [APART, WHOLE, MKL], dense_table=True),
    Variant("shared beginnings", quick, [WHOLE, MKL], dense_table=True),
    Variant("last block where it is read", quick, [MKL], dense_table=True),
    Variant("token table by rows", quick, [MKL]),
    Variant("linear layers on oneDNN (= fast)", quick),
    Variant("anchors cached", cached),
    Variant("bf16", half),
]
times: list[list[float]] = [[] for _ in variants]
for number, batch in enumerate(BATCHES):
    for variant, taken in zip(variants, times, strict=True):
        seconds = variant.step(batch)
        if number:
            taken.append(seconds)
        print(f"round {number}, {variant.title}: {seconds:.2f} s", file=sys.stderr)

print(f"{backbone}, batch {batch_size}, full, fp32, {torch.get_num_threads()} threads\n")
print("| step | s | times reference | times the row above |\n|---|---|---|---|")
for row, (variant, taken) in enumerate(zip(variants, times, strict=True)):
    above = times[max(row - 1, 0)]
    whole = median(slow / own for slow, own in zip(times[0], taken, strict=True))
    part = median(slow / own for slow, own in zip(above, taken, strict=True))
    print(f"| {variant.title} | {median(taken):.2f} | {whole:.1f} | {part:.2f} |")
