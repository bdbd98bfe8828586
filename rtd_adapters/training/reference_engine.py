"""The reference step: the objective of one batch, computed plainly.

Every text is padded to the context length and both towers run whole. It is slow and easy to check,
and every faster engine is held to its loss and gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rtd_adapters.methods.query import embed_composition
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.objective import nt_xent
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.step import (
    StepContext,
    Towers,
    anchored_captions,
    refined_compositions,
)


class ReferenceEngine:
    """The plain step."""

    def __init__(
        self, towers: Towers, settings: TrainingSettings, context: StepContext | None = None
    ) -> None:
        self._towers, self._settings = towers, settings
        self._autocast = (context or StepContext()).autocast

    def step(self, batch: TripletBatch, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the gradients of the batch's loss to the student; return the detached loss."""
        loss = self.loss(batch)
        backward(loss)
        return loss.detach()

    def loss(self, batch: TripletBatch) -> Tensor:
        """The objective of one refined batch, a scalar in fp32."""
        torch.manual_seed(batch.noise_seed)  # dropout is a function of seed and step too
        captions = [text for kind in anchored_captions(batch, self._settings) for text in kind]
        queries = self._queries(batch)
        return nt_xent(self._anchors(captions), queries, self._settings.temperature)

    def _queries(self, batch: TripletBatch) -> Tensor:
        """[pairs, embed_dim] of the student, in the anchored captions' order."""
        references = self._anchors(batch.references)
        parts = refined_compositions(self._towers, batch, references, self._settings)
        with self._autocast():
            return torch.cat(
                [
                    embed_composition(self._towers.student, self._towers.tokenizer, part)
                    for part in parts
                ]
            )

    @torch.no_grad()
    def _anchors(self, captions: list[str]) -> Tensor:
        ids = self._towers.tokenizer.encode(captions).to(self._towers.device)
        return self._towers.frozen(ids)
