"""Tiny models of every family, built once; tests leave them as they were."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from tiny_towers import TINY
from tower_case import Case
from tower_cells import trained

from rtd_adapters.clip.text import TextTower
from rtd_adapters.patch.text_encoder_patch import TrainablePatch


def fresh(name: str) -> Case:
    """A model of its own, the same weights for one name."""
    if name not in TINY:
        pytest.skip(f"this version of transformers has no {name}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TINY[name]()


@cache
def _case(name: str) -> Case:
    return fresh(name)


@cache
def _tower(name: str) -> TextTower:
    return _case(name).tower()


@cache
def _patch(name: str) -> TrainablePatch:
    return trained(_case(name), _tower(name))[0]


@pytest.fixture(scope="session")
def fresh_case():
    """A model that a test may change."""
    return fresh


@pytest.fixture
def case(name):
    """The model of that name, shared."""
    return _case(name)


@pytest.fixture
def tower(name):
    """Our tower, made of it, shared."""
    return _tower(name)


@pytest.fixture
def patch(name):
    """A patch for it after five steps, shared."""
    return _patch(name)
