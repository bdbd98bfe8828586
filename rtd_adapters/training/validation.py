"""Validation without images, on held-out triplets: what is learned, and what is kept.

Texts go through the packed towers, as in the fast engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rtd_adapters.clip.ranks import target_ranks
from rtd_adapters.clip.text import TextTower
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.packed_texts import embed_compositions
from rtd_adapters.training.step import Towers, refined_reference

RANKS = (1, 5, 10)
CHUNK = 128
"""Composed queries in one pack."""


def held_out_figures(towers: Towers, held_out: TripletBatch) -> dict[str, float]:
    """What a tower being trained makes of held-out triplets; see `HeldOut.figures`."""
    return HeldOut(held_out).figures(towers)


class HeldOut:
    """Held-out triplets, by which towers are judged. The frozen tower meets their captions once,
    however many towers are judged.

    Args:
        triplets: at least as many as the figures shall be of.
    """

    def __init__(self, triplets: TripletBatch) -> None:
        self.triplets = triplets
        self._frozen: tuple[TextTower, _Frozen] | None = None

    def __len__(self) -> int:
        return len(self.triplets)

    @torch.no_grad()
    def figures(self, towers: Towers) -> dict[str, float]:
        """What a tower makes of the triplets; nothing where there are none.

        All distinct target captions, embedded by the frozen tower, are the gallery.

        Args:
            towers: the student is judged, on the frozen tower's device.

        Returns:
            `anchor_recall@1`, `@5` and `@10`, in per cent: does the composed prompt (no noise) find
            its own target caption? `caption_recall@1`, in per cent: does each plain caption of the
            gallery find itself? `caption_cosine`, the mean cosine of its two embeddings. A tower
            that was not trained keeps all: 100 per cent, unless captions embed alike, and cosine 1.
        """
        if not len(self):
            return {}
        was_training = towers.student.training
        towers.student.eval()
        frozen = self._of_frozen(towers)
        figures = _anchor_recall(towers, self.triplets, frozen) | _kept_captions(towers, frozen)
        towers.student.train(was_training)
        return figures

    def _of_frozen(self, towers: Towers) -> _Frozen:
        """What the frozen tower says, kept for the next time it is asked."""
        if self._frozen is None or self._frozen[0] is not towers.frozen:
            self._frozen = towers.frozen, _Frozen.of(towers, self.triplets)
        return self._frozen[1].to(towers.device)


@dataclass(frozen=True)
class _Frozen:
    """What the frozen tower says of held-out triplets."""

    captions: list[str]
    """All distinct target captions, in alphabetical order: the gallery."""
    anchors: Tensor
    """[N, embed_dim] of these, normalised."""
    references: Tensor
    """[B, embed_dim] of every triplet's reference caption, unnormalised."""

    @classmethod
    def of(cls, towers: Towers, held_out: TripletBatch) -> _Frozen:
        """Embedded now."""
        captions = sorted(set(held_out.targets))
        texts = [*captions, *held_out.references]
        embedded = Anchors(towers.frozen, towers.tokenizer)(texts)
        return cls(captions, _unit(embedded[: len(captions)]), embedded[len(captions) :])

    def to(self, device: torch.device) -> _Frozen:
        """The same on a device."""
        return _Frozen(self.captions, self.anchors.to(device), self.references.to(device))

    def ranks(self, vectors: Tensor, captions: list[str]) -> Tensor:
        """[Q] rank of each vector's own caption among all."""
        place = {caption: index for index, caption in enumerate(self.captions)}
        wanted = torch.tensor([place[caption] for caption in captions], device=vectors.device)
        return target_ranks(_unit(vectors) @ self.anchors.T, wanted)


def _anchor_recall(towers: Towers, held_out: TripletBatch, frozen: _Frozen) -> dict[str, float]:
    parts = [slice(start, start + CHUNK) for start in range(0, len(held_out), CHUNK)]
    rank = torch.cat(
        [
            frozen.ranks(
                _queries(towers, held_out.part(part), frozen.references[part]),
                held_out.targets[part],
            )
            for part in parts
        ]
    )
    return {f"anchor_recall@{k}": _share(rank < k) for k in RANKS}


def _kept_captions(towers: Towers, frozen: _Frozen) -> dict[str, float]:
    vectors = Anchors(towers.student, towers.tokenizer)(frozen.captions)
    cosines = (_unit(vectors) * frozen.anchors).sum(dim=1)
    return {
        "caption_recall@1": _share(frozen.ranks(vectors, frozen.captions) < 1),
        "caption_cosine": cosines.mean().item(),
    }


def _queries(towers: Towers, part: TripletBatch, references: Tensor) -> Tensor:
    """[B, embed_dim] of the student for composed prompts, without noise."""
    reference = refined_reference(towers, part, references, noise_scale=0)
    queries = towers.method.composed(towers.projection, reference, part.conditioning)
    (embedded,) = embed_compositions(towers.student, towers.tokenizer, [queries])
    return embedded


def _share(found: Tensor) -> float:
    """In per cent."""
    return 100 * found.float().mean().item()


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
