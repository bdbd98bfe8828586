"""Validation without images, on held-out triplets: what is learned, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rtd_adapters.clip.ranks import target_ranks
from rtd_adapters.clip.text import TextTower
from rtd_adapters.methods.query import embed_composition
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.step import Towers, refined_reference

RANKS = (1, 5, 10)
CHUNK = 128


@torch.no_grad()
def held_out_figures(towers: Towers, held_out: TripletBatch) -> dict[str, float]:
    """What a tower being trained makes of held-out triplets; nothing where there are none.

    All distinct target captions, embedded by the frozen tower, are the gallery.

    Returns:
        `anchor_recall@1`, `@5` and `@10`, in per cent: does the composed prompt (no noise) find
        its own target caption? `caption_recall@1`, in per cent: does each plain caption of the
        gallery find itself? `caption_cosine`, the mean cosine of its two embeddings. A tower that
        was not trained keeps all: 100 per cent, unless captions embed alike, and cosine 1.
    """
    if not len(held_out):
        return {}
    was_training = towers.student.training
    towers.student.eval()
    gallery = Gallery.of(towers, held_out)
    figures = _anchor_recall(towers, held_out, gallery) | _kept_captions(towers, gallery)
    towers.student.train(was_training)
    return figures


@dataclass(frozen=True)
class Gallery:
    """All distinct held-out target captions, in alphabetical order."""

    captions: list[str]
    ids: Tensor
    """[N, context_length] of the captions."""
    anchors: Tensor
    """[N, embed_dim], normalised, by the frozen tower."""

    @classmethod
    def of(cls, towers: Towers, held_out: TripletBatch) -> Gallery:
        """Of held-out triplets."""
        captions = sorted(set(held_out.targets))
        ids = towers.tokenizer.encode(captions).to(towers.device)
        return cls(captions, ids, _unit(_embed(towers.frozen, ids)))

    def ranks(self, vectors: Tensor, captions: list[str]) -> Tensor:
        """[Q] rank of each vector's own caption among all."""
        place = {caption: index for index, caption in enumerate(self.captions)}
        wanted = torch.tensor([place[caption] for caption in captions], device=vectors.device)
        return target_ranks(_unit(vectors) @ self.anchors.T, wanted)


def _anchor_recall(towers: Towers, held_out: TripletBatch, gallery: Gallery) -> dict[str, float]:
    parts = [slice(start, start + CHUNK) for start in range(0, len(held_out), CHUNK)]
    rank = torch.cat(
        [gallery.ranks(_queries(towers, held_out, part), held_out.targets[part]) for part in parts]
    )
    return {f"anchor_recall@{k}": _share(rank < k) for k in RANKS}


def _kept_captions(towers: Towers, gallery: Gallery) -> dict[str, float]:
    vectors = _embed(towers.student, gallery.ids)
    cosines = (_unit(vectors) * gallery.anchors).sum(dim=1)
    return {
        "caption_recall@1": _share(gallery.ranks(vectors, gallery.captions) < 1),
        "caption_cosine": cosines.mean().item(),
    }


def _queries(towers: Towers, held_out: TripletBatch, part: slice) -> Tensor:
    batch = TripletBatch(
        held_out.references[part], held_out.conditioning[part], held_out.targets[part]
    )
    ids = towers.tokenizer.encode(batch.references).to(towers.device)
    reference = refined_reference(towers, batch, towers.frozen(ids), noise_scale=0)
    queries = towers.method.composed(towers.projection, reference, batch.conditioning)
    return embed_composition(towers.student, towers.tokenizer, queries)


def _embed(tower: TextTower, ids: Tensor) -> Tensor:
    """[N, embed_dim] of plain captions, a chunk at a time."""
    return torch.cat([tower(part) for part in ids.split(CHUNK)])


def _share(found: Tensor) -> float:
    """In per cent."""
    return 100 * found.float().mean().item()


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
