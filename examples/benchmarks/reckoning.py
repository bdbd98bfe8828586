"""What a large run would take on many GPUs, reckoned from what can be counted and measured here.

    python examples/benchmarks/reckoning.py [MODEL] [TRIPLETS]

Counted: nodes of packs, parameters, bytes between processes. Measured, on one core of this machine:
the host's part of a step. Assumed, for no such GPU was at hand: the rates below. Where a figure
rests on an assumption, it is an estimate.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import open_clip
import torch

from rtd_adapters.clip.text import TextTower, TowerConfig
from rtd_adapters.jobs.bench.texts import bench_method, triplet_stream
from rtd_adapters.methods.query import Query
from rtd_adapters.training.packed_texts import _keys
from rtd_adapters.training.packed_tower import pack_texts

BF16, FP32 = 400e12, 40e12
"""Operations a second of an H100 in matrix products; assumed, 40 and 60 % of its data sheet."""
WITHIN, BETWEEN = 300e9, 150e9
"""Bytes a second of an all-reduce for each GPU (bus bandwidth): within a machine of eight, and
between machines; assumed."""
OWN = 128
"""Triplets a step for each GPU."""


def tower_sizes(model):
    """Width, layers and parameters of a text tower, and the width of its embeddings."""
    config = open_clip.get_model_config(model)
    text, embed = config["text_cfg"], config["embed_dim"]
    width, layers = text["width"], text["layers"]
    table = text["vocab_size"] * width
    return width, layers, 12 * width**2 * layers + table + width * embed, embed


def nodes(tower, batch):
    """Nodes of the frozen tower's and the student's packs."""
    method = bench_method()
    tokenizer = method.tokenizer(tower)
    pseudo = torch.arange(len(batch), dtype=torch.float32)[:, None, None]
    composed = [method.composed_prompt.format(text=text) for text in batch.conditioning]
    student = [Query(composed, pseudo), Query([method.bare_prompt] * len(batch), pseudo)]
    frozen = [Query(sorted({*batch.targets, *batch.references}))]
    return [packed(tower, tokenizer, queries) for queries in (frozen, student)]


def packed(tower, tokenizer, queries):
    """Nodes of a pack of some queries."""
    prompts = [text for query in queries for text in query.prompts]
    ids = tower.trimmed(tokenizer.encode(prompts))
    parts = ids.split([len(query.prompts) for query in queries])
    return len(pack_texts(tower, ids, torch.cat(_keys(tower, tokenizer, queries, parts))).places)


def seconds(work, repeats=5):
    """Median."""
    taken = []
    for number in range(repeats):
        started = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - started)
    return median(taken)


def reckon(model, triplets, gpus, draw, own):
    """Seconds of each part of a step, and steps."""
    width, layers, parameters, embed = tower_sizes(model)
    whole = OWN * gpus
    frozen, student = own["nodes"]
    pass_ = 24 * width**2 * layers  # operations a node, forward
    rate = WITHIN if gpus <= 8 else BETWEEN
    pairs = 2 * whole
    return triplets / whole, {
        "student, bf16": 3 * pass_ * student / BF16,
        "frozen tower, fp32": pass_ * frozen / FP32,
        "frozen tower, bf16": pass_ * frozen / BF16,
        "loss, fp32, the whole in every process": 6 * (2 * pairs) ** 2 * embed / FP32,
        "gradients, one bucket after the backward pass": 2 * 4 * parameters / rate,
        "embeddings, gathered": 2 * pairs * embed * 4 / rate,
        "host: the whole batch drawn and cleaned, one core": draw * whole,
        "host: its own texts tokenized and packed, one core": own["seconds"],
    }


def main(model="ViT-bigG-14", triplets="100000000"):
    """Print the tables."""
    torch.set_num_threads(1)
    tower = TextTower(TowerConfig(64, 1, 1, 8, activation="gelu"))
    stream = triplet_stream(OWN)
    draw = seconds(lambda number: stream.batch(1000 + number)) / OWN
    batches = [stream.batch(number) for number in range(5)]
    own = {
        "seconds": seconds(lambda number: nodes(tower, batches[number])),
        "nodes": [
            median(part) for part in zip(*(nodes(tower, batch) for batch in batches), strict=True)
        ],
    }
    print(f"{model}, {int(triplets):,} triplets once, {OWN} a step for each GPU")
    print(f"nodes a step and GPU: frozen {own['nodes'][0]:.0f}, student {own['nodes'][1]:.0f}\n")
    found = {gpus: reckon(model, int(triplets), gpus, draw, own) for gpus in (8, 64)}
    print("| milliseconds a step | 8 GPUs | 64 GPUs |\n|---|---|---|")
    for name in found[8][1]:
        print(f"| {name} | " + " | ".join(f"{1e3 * found[n][1][name]:,.1f}" for n in found) + " |")
    print("\n| hours, if that part were all | 8 GPUs | 64 GPUs |\n|---|---|---|")
    for name in found[8][1]:
        hours = [found[n][0] * found[n][1][name] / 3600 for n in found]
        print(f"| {name} | " + " | ".join(f"{value:,.2f}" for value in hours) + " |")


if __name__ == "__main__":
    main(*sys.argv[1:])
