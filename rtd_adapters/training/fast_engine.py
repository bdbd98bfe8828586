"""The fast step: what the reference step computes, and nothing twice or for nothing.

Exact: loss and gradients equal `ReferenceEngine`'s up to rounding. `packing` does the computing;
here it is decided what is packed together, and which process and which pass computes it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rtd_adapters.training.anchors import PACKED, Anchors
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.frozen_precision import computing_in
from rtd_adapters.training.objective import nt_xent
from rtd_adapters.training.packed_texts import embed_compositions
from rtd_adapters.training.settings import TrainingSettings
from rtd_adapters.training.step import (
    StepContext,
    Towers,
    anchored_captions,
    refined_compositions,
)


class FastEngine:
    """The packed step.

    Each distinct caption meets the frozen tower once, and a reference's embedding serves both as
    anchor and for its pseudo token. All texts of the student go into one pack, so "a photo of $"
    costs one token beside "a photo of $ that ...": its end of text.
    """

    def __init__(
        self,
        towers: Towers,
        settings: TrainingSettings,
        context: StepContext | None = None,
    ) -> None:
        context = context or StepContext()
        self._towers, self._settings = towers, settings
        self._autocast, self._processes = context.autocast, context.processes
        packed = 2 * settings.chunk_size if settings.chunk_size else PACKED
        computing = computing_in(settings.frozen_precision, towers.device)
        self._anchors = Anchors(
            towers.frozen, towers.tokenizer, context.store, packed=packed, computing=computing
        )

    def step(self, batch: TripletBatch, backward: Callable[[Tensor], None]) -> Tensor:
        """Add this process's part of the gradients to the student; return the detached loss.

        The parts add up to the gradients of the loss over all processes' rows.
        """
        mine = self._processes.share(len(batch))
        own = batch.part(mine)
        kinds = anchored_captions(own, self._settings)
        texts = [text for kind in [*kinds, own.references] for text in kind]
        frozen = self._anchors(texts, own.packs)
        frozen = frozen.view(len(kinds) + 1, len(own), -1)
        loss = self._pass_back(own, frozen[:-1], frozen[-1], mine, backward)
        return self._processes.total(loss) if self._settings.local_negatives else loss.detach()

    def _pass_back(
        self,
        own: TripletBatch,
        anchors: Tensor,
        references: Tensor,
        mine: slice,
        backward: Callable[[Tensor], None],
    ) -> Tensor:
        """Embed this process's rows, take the loss, and pass its gradient back to the student.

        With `chunk_size` this is gradient caching (Gao et al. 2021): embed without gradient, take
        the loss's gradient at the embeddings, then embed each part again and pass it on.
        """

        def encode(rows: slice) -> Tensor:
            return self._queries(own.part(rows), references[rows])

        everything = slice(0, len(own))
        if self._settings.chunk_size is None:
            loss = self._loss(anchors, encode(everything), mine)
            backward(loss)
            return loss
        parts = parts_of(everything, self._settings.chunk_size)
        with torch.no_grad():
            queries = torch.cat([encode(rows) for rows in parts], dim=1)
        loss = self._loss(anchors, queries.requires_grad_(), mine)
        (wanted,) = torch.autograd.grad(loss, queries)
        for rows in parts:
            backward((encode(rows) * wanted[:, rows]).sum())
        return loss

    def _loss(self, anchors: Tensor, queries: Tensor, mine: slice) -> Tensor:
        """The objective over all processes' rows; [kinds, rows, embed_dim] each, of `mine` alone.

        Anchors and queries are gathered in one call.
        """
        temperature = self._settings.temperature
        if self._settings.local_negatives:
            local = nt_xent(anchors.flatten(0, 1), queries.flatten(0, 1), temperature)
            return local / self._processes.count
        own = torch.cat([anchors, queries.detach()]).transpose(0, 1)
        length = len(own) * self._processes.count  # a batch is shared evenly
        others = self._processes.gather(own, length).transpose(0, 1)
        anchors, others = others.split(len(queries))
        whole = torch.cat([others[:, : mine.start], queries, others[:, mine.stop :]], dim=1)
        return nt_xent(anchors.flatten(0, 1), whole.flatten(0, 1), temperature)

    def _queries(self, part: TripletBatch, references: Tensor) -> Tensor:
        """[kinds, rows, embed_dim] of the student for some rows of a batch, in fp32 or better.

        Gradients at the embeddings are small, and fp16 would round them to zero between passes.
        """
        if self._towers.student.training:
            torch.manual_seed(part.noise_seed + part.first)  # dropout: the same in both passes
        with self._autocast():
            embeddings = embed_compositions(
                self._towers.student,
                self._towers.tokenizer,
                refined_compositions(self._towers, part, references, self._settings),
                self._settings.checkpoint_activations,
                part.packs,
            )
        whole = torch.stack(embeddings)
        return whole.to(torch.promote_types(whole.dtype, torch.float32))


def parts_of(rows: slice, size: int) -> list[slice]:
    """Some rows, at most `size` at a time."""
    starts = range(rows.start, rows.stop, size)
    return [slice(start, min(start + size, rows.stop)) for start in starts]
