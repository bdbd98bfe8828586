"""One engine, ready to take steps that are timed."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rtd_adapters.clip.onednn import product_operations
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.jobs.bench.cases import BenchCase
from rtd_adapters.jobs.bench.random_tower import random_tower
from rtd_adapters.jobs.bench.texts import bench_method
from rtd_adapters.patch.lora import LoRASettings, insert_lora
from rtd_adapters.training import Towers, TrainingSettings
from rtd_adapters.training.anchor_store import AnchorStore
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.engines import engine_class
from rtd_adapters.training.optimizer import make_optimizer
from rtd_adapters.training.settings import Precision
from rtd_adapters.training.step import StepContext

ONEDNN = {torch.ops.mkldnn._linear_pointwise: product_operations}
"""What a FLOP counter does not know by itself."""


class Stepper:
    """One engine with its towers and its optimiser.

    Args:
        case: what is timed.
        batches: all that it will step on; where the case says so, their anchors are kept for it.
    """

    def __init__(self, case: BenchCase, batches: Sequence[TripletBatch]) -> None:
        self.towers = _towers(case)
        settings = TrainingSettings(batch_size=case.batch_size, engine=case.engine)
        store = self._random_anchors(batches) if case.anchors_cached else None
        context = StepContext(autocast=_autocast(case.mixed_precision), store=store)
        self.engine = engine_class(case.engine)(self.towers, settings, context)
        self.optimizer = make_optimizer(self.towers.student, settings)

    def step(self, batch: TripletBatch) -> float:
        """Seconds of one optimiser step."""
        started = time.perf_counter()
        self.engine.step(batch, Tensor.backward)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - started

    def operations(self, batch: TripletBatch) -> int:
        """Floating-point operations of a step's matrix products."""
        with FlopCounterMode(display=False, custom_mapping=ONEDNN) as counter:
            self.step(batch)
        return counter.get_total_flops()

    def _random_anchors(self, batches: Sequence[TripletBatch]) -> AnchorStore:
        """A store on disk with an anchor for every caption; it goes when this stepper goes."""
        self._folder = tempfile.TemporaryDirectory()
        dimension = self.towers.frozen.config.embed_dim
        store = AnchorStore("random", dimension, "random", root=Path(self._folder.name))
        captions = [text for batch in batches for text in (*batch.targets, *batch.references)]
        distinct = list(dict.fromkeys(captions))
        store.add(distinct, torch.randn(len(distinct), dimension))
        store.flush()
        return store


def _towers(case: BenchCase) -> Towers:
    """Random ones of the backbone's size, the student ready to be trained."""
    method, frozen = bench_method(), random_tower(case.backbone)
    shape = BackboneShape(frozen.config.embed_dim, frozen.config.width, 0)
    projection = method.build_projection(shape).eval().requires_grad_(False)
    student = copy.deepcopy(frozen).requires_grad_(True)
    if case.kind == "lora":
        insert_lora(student, LoRASettings())
    tokenizer = method.tokenizer(frozen)
    return Towers(method, projection, frozen, student, tokenizer)


def _autocast(precision: Precision) -> Callable[[], AbstractContextManager]:
    return nullcontext if precision == "no" else partial(torch.autocast, "cpu", torch.bfloat16)
