"""Pic2Word's own training of its projection, from pictures alone."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from rtd_adapters import BackboneError, Inverted, LessonBatch, ProjectionTraining

if TYPE_CHECKING:
    from torch import Tensor


class Pic2WordTraining(ProjectionTraining):
    """A picture and "a photo of" its pseudo token have to find each other among those of a batch.

    Settings are those of the README's command on its eight GPUs, of which each has 128 pictures and
    all are gathered, and of src/params.py for ViT-L/14; its 30 epochs of Conceptual Captions' three
    million pictures are some 90,000 steps.
    """

    learns_from = "pictures"
    published = MappingProxyType(
        {
            "steps": 90_000,
            "batch_size": 1024,
            "learning_rate": 1e-4,
            "weight_decay": 0.1,
            "decay_biases": False,
            "beta2": 0.98,
            "epsilon": 1e-6,
            "warmup_steps": 10_000,
            "schedule": "cosine",
        }
    )
    source = "google-research/composed_image_retrieval, README and src/params.py"

    def loss(self, made: Inverted, batch: LessonBatch) -> Tensor:
        """Cross entropy of cosines times the CLIP's own scale, the mean of both directions."""
        import torch
        from torch.nn.functional import cross_entropy, normalize

        if batch.logit_scale is None:
            raise BackboneError(
                "pic2word's loss multiplies cosines by the CLIP's logit_scale, and this backbone "
                "has none. Choose a CLIP or SigLIP, or a method that learns without it."
            )
        pictures = normalize(batch.targets, dim=-1)
        logits = batch.logit_scale * pictures @ normalize(made.embedded, dim=-1).T
        own = torch.arange(len(logits), device=logits.device)
        return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
