"""Concepts that pictures are near to, by the towers themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.errors import TripletError
from rtd_adapters.methods.inversion import Concept
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.triplets.phrases import Phrases

AT_ONCE = 1024
"""Concepts, or pictures, that are embedded or compared at a time."""


def usable_concepts(phrases: Phrases, tokenizer: Tokenizer) -> list[Concept]:
    """Concepts that can be replaced in all of their phrases, in alphabetical order.

    Placeholders and special tokens are taken out of phrases; a concept that one of its phrases has
    not letter for letter goes, as in SEARLE's own training.

    Raises:
        TripletError: none is left; how many went why is said.
    """
    dropped: Counter[str] = Counter()
    usable = []
    for name in sorted(phrases):
        cleaned = [tokenizer.clean(phrase).strip() for phrase in phrases[name]]
        if not name.strip() or not cleaned:
            dropped["without a name or phrases"] += 1
        elif any(name not in phrase for phrase in cleaned):
            dropped["not in a phrase of their own"] += 1
        else:
            usable.append(Concept(name, cleaned))
    if not usable:
        gone = ", ".join(f"{n:,} {reason}" for reason, n in dropped.items()) or "there was none"
        raise TripletError(
            f"No concept is left to find near pictures ({gone}). Bring phrases that have their "
            "concept in them, or captions with nouns."
        )
    return usable


def nearest_concepts(
    concepts: Sequence[Concept],
    pictures: Tensor,
    templates: Sequence[str],
    anchors: Anchors,
    count: int,
) -> Tensor:
    """[N, K] places of the concepts nearest to each picture, the nearest first; K is `count`, or as
    many as there are.

    Args:
        concepts: whose names are embedded in every template, and the unit vectors averaged.
        pictures: [N, embed_dim] by the image tower.
        templates: with {} for the name.
        anchors: of the frozen text tower.
        count: how many.
    """
    rows = []
    for start in range(0, len(concepts), AT_ONCE):
        names = [concept.name for concept in concepts[start : start + AT_ONCE]]
        sides = [anchors([template.format(name) for name in names]) for template in templates]
        rows.append(normalize(normalize(torch.stack(sides), dim=-1).mean(0), dim=-1))
    dictionary = torch.cat(rows)
    found = [
        (normalize(part.to(dictionary), dim=-1) @ dictionary.T)
        .topk(min(count, len(concepts)), dim=-1)
        .indices.cpu()
        for part in pictures.split(AT_ONCE)
    ]
    return torch.cat(found)
