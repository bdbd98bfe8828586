"""Validation without images: does a composed prompt find the anchor of its target caption?"""

from __future__ import annotations

import torch

from rtd_adapters.clip.ranks import target_ranks
from rtd_adapters.methods.query import embed_composition
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.step import Towers, refined_reference

RANKS = (1, 5, 10)
CHUNK = 128


@torch.no_grad()
def anchor_recall(towers: Towers, held_out: TripletBatch) -> dict[str, float]:
    """Recall of held-out target captions, in per cent, under `anchor_recall@K`.

    The queries are composed prompts (no noise) by the tower being trained; the gallery is the
    frozen embeddings of all distinct held-out target captions, in alphabetical order.
    """
    if not len(held_out):
        return {}
    was_training = towers.student.training
    towers.student.eval()
    gallery = sorted(set(held_out.targets))
    place = {caption: index for index, caption in enumerate(gallery)}
    anchors = _unit(
        torch.cat([_embed(towers, gallery[s : s + CHUNK]) for s in range(0, len(gallery), CHUNK)])
    )
    ranks = []
    for start in range(0, len(held_out), CHUNK):
        part = slice(start, start + CHUNK)
        targets = held_out.targets[part]
        scores = _unit(_queries(towers, held_out, part)) @ anchors.T
        wanted = torch.tensor([place[caption] for caption in targets], device=scores.device)
        ranks.append(target_ranks(scores, wanted))
    towers.student.train(was_training)
    rank = torch.cat(ranks)
    return {f"anchor_recall@{k}": 100 * (rank < k).float().mean().item() for k in RANKS}


def _queries(towers: Towers, held_out: TripletBatch, part: slice) -> torch.Tensor:
    batch = TripletBatch(
        held_out.references[part], held_out.conditioning[part], held_out.targets[part]
    )
    reference = refined_reference(towers, batch, _embed(towers, batch.references), noise_scale=0)
    queries = towers.method.composed(towers.projection, reference, batch.conditioning)
    return embed_composition(towers.student, towers.tokenizer, queries)


def _embed(towers: Towers, captions: list[str]) -> torch.Tensor:
    return towers.frozen(towers.tokenizer.encode(captions).to(towers.device))


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
