"""The texts that are timed: the built-in world's triplets, in batches."""

from __future__ import annotations

import time

from rtd_adapters.clip.backbones import DEFAULT
from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import UsageError
from rtd_adapters.jobs.provided import provisions
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.method import Method
from rtd_adapters.training import Towers
from rtd_adapters.training.batches import TripletBatch, TripletStream

CONTEXT_LENGTH = 77
UNSEEN = 1_000_000
"""Batches from this number on are never timed, so none of their texts has been tokenized."""


def bench_method() -> Method:
    """The method whose prompts are timed; the built-in ones differ little in length."""
    return get_method("searle")


def triplet_stream(batch_size: int) -> TripletStream:
    """Batches of the built-in world's triplets.

    Raises:
        UsageError: the plugin that brings them is missing.
    """
    brought = provisions(DEFAULT)
    if brought is None:
        raise UsageError(f"the plugin {DEFAULT!r}, whose triplets are timed, is not installed.")
    tokenizer = Tokenizer(CONTEXT_LENGTH, bench_method().placeholder)
    return TripletStream(brought.triplets(), tokenizer, batch_size=batch_size, seed=0)


def real_tokens(towers: Towers, batch: TripletBatch) -> int:
    """Tokens of a refined batch without padding: captions on the frozen side, prompts on ours."""
    method = towers.method
    prompts = [method.composed_prompt.format(text=text) for text in batch.conditioning]
    texts = [*batch.targets, *batch.references, *prompts, *[method.bare_prompt] * len(batch)]
    return sum(towers.tokenizer.lengths(texts))


def seconds_of_data(towers: Towers, stream: TripletStream, number: int) -> float:
    """What it takes to draw, clean and tokenize a batch for the first time."""
    started = time.perf_counter()
    real_tokens(towers, stream.batch(UNSEEN + number))
    return time.perf_counter() - started
