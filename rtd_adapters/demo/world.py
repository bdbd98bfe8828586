"""The built-in world's held-out queries, as the figures of a run are taken on them."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.images import ImageStates, image_states
from rtd_adapters.demo.captions import full_caption
from rtd_adapters.demo.clip import pixels
from rtd_adapters.demo.queries import QuerySet
from rtd_adapters.evaluation.world import CaptionedQueries, World
from rtd_adapters.methods.method import Method

CHUNK = 250
CAPTION_SEED = 0


@torch.no_grad()
def demo_world(
    method: Method, projection: nn.Module, backbone: Backbone, queries: QuerySet
) -> World:
    """Draw and embed the gallery of a query set."""
    model: Any = backbone.model
    parts = [image_states(model, part) for part in pixels(queries.images()).split(CHUNK)]
    gallery = ImageStates(
        torch.cat([part.embedding for part in parts]), torch.cat([part.tokens for part in parts])
    )
    draw = random.Random(CAPTION_SEED)
    captions = [full_caption(queries.gallery[place], draw) for place in queries.references]
    captioned = CaptionedQueries(
        queries.references, queries.texts, queries.targets, captions, queries.target_captions
    )
    return World(method, projection, captioned, gallery)
