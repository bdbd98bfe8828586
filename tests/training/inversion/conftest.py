"""Trainings of LinCIR's and Pic2Word's projections on the toy backbone."""

from __future__ import annotations

import random

import pytest
import torch

from rtd_adapters.methods.installed import get_method
from rtd_adapters.training import RunOptions
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.inversion import (
    CaptionSource,
    InversionSettings,
    InversionTrainer,
    PictureSource,
)
from rtd_adapters.training.inversion.engine import Apparatus, InversionEngine
from rtd_adapters.training.inversion.lessons import LessonStream
from rtd_adapters.triplets.spans import WordListSpans

WORDS = ("red", "blue", "small", "star", "circle", "dog", "cat", "walks", "under", "beside")
SCALE = 20.0


@pytest.fixture(scope="session")
def captions():
    """200 different captions, some without a keyword."""
    draw = random.Random(0)
    made = [f"a {' '.join(draw.choices(WORDS, k=5))} number {number}" for number in range(195)]
    return [*made, *(f"walks beside {number}" for number in range(5))]


@pytest.fixture
def source(captions, toy_backbone):
    """By method: what it learns from."""

    def make(method):
        if method.projection_training.learns_from == "captions":
            return CaptionSource(captions, method.tokenizer(toy_backbone.tower), WordListSpans())
        pictures = torch.randn(200, 32, generator=torch.Generator().manual_seed(5)) * 2
        return PictureSource(pictures)

    return make


@pytest.fixture
def bench(toy_backbone, source):
    """Apparatus, engine and stream of a method on the toy backbone, without dropout."""

    def make(name, processes=None, **settings):
        method = get_method(name)
        training = method.projection_training
        settings = InversionSettings(**{"batch_size": 16} | settings)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            projection = method.build_projection(toy_backbone.shape).train()
        for module in projection.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        tower = toy_backbone.tower
        tokenizer = method.tokenizer(tower)
        things = source(method)
        apparatus = Apparatus(
            method,
            training,
            projection,
            tower,
            tokenizer,
            things,
            Anchors(tower, tokenizer, processes=processes),
            SCALE,
        )
        stream = LessonStream(
            things,
            training,
            method,
            tokenizer,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )
        return apparatus, InversionEngine(apparatus, settings, processes=processes), stream

    return make


@pytest.fixture
def run(toy_backbone, source):
    """Trains a method's projection; returns it and the run."""

    def make(name="lincir", options=None, identity=None, **settings):
        method = get_method(name)
        things = source(method)
        trainer = InversionTrainer(
            method,
            method.projection_training,
            toy_backbone,
            lambda processes, device: things,
            InversionSettings(
                **{"steps": 6, "batch_size": 16, "learning_rate": 1e-3, "noise_scale": 1.0}
                | settings
            ),
            options or RunOptions(quiet=True),
        )
        trainer.logit_scale = SCALE
        projection = trainer.fresh()
        return projection, trainer.train(projection, identity or {})

    return make
