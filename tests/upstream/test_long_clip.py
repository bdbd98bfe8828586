"""Long-CLIP's own code (beichenzbc/Long-CLIP), where a checkout is there."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from tower_builders import long_clip, openai_case
from tower_case import WordIds
from tower_cells import parity


@pytest.fixture
def published(checkout):
    """A tiny model of the repository's own class."""
    path = checkout("Long-CLIP") / "model" / "model_longclip.py"
    spec = importlib.util.spec_from_file_location("model_longclip", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.CLIP(24, 32, 1, 64, 16, 248, 400, 32, 2, 2, load_from_clip=False)
    torch.nn.init.normal_(model.positional_embedding_res, std=0.01)
    return openai_case("Long-CLIP", model, WordIds(400, begin=398, end=399), 248)


@pytest.mark.parametrize("placeholders", [0, 3])
def test_our_tower_is_long_clips(placeholders, published):
    assert parity(published, published.tower(), placeholders) <= 1e-5


@torch.no_grad()
def test_the_model_that_other_tests_take_for_long_clip_is_it(published):
    stand_in = long_clip(32, 2, 2, 24, 400).eval()
    stand_in.load_state_dict(published.model.state_dict())
    ids = published.ids()
    assert torch.equal(stand_in.encode_text(ids), published.encode(ids))
