"""One step of a projection's training, on the packed text tower.

Gradient goes through the frozen tower to the pseudo tokens and on into the projection. Every
process runs the whole batch through the projection, which is small, and its own rows through the
tower; so noise and dropout are those of one process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.compute.processes import Processes
from rtd_adapters.methods.inversion import Inverted, LessonBatch, ProjectionTraining
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.query import Composition
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.concatenation import add_noise
from rtd_adapters.training.fast_engine import parts_of
from rtd_adapters.training.inversion.lessons import Lessons
from rtd_adapters.training.inversion.settings import InversionSettings
from rtd_adapters.training.inversion.sources import Source
from rtd_adapters.training.packed_texts import embed_compositions


@dataclass(frozen=True)
class Apparatus:
    """The networks of one run: what is trained, and what is frozen around it."""

    method: Method
    training: ProjectionTraining
    projection: nn.Module
    """The only one with gradient."""
    tower: TextTower
    tokenizer: Tokenizer
    source: Source
    anchors: Anchors
    """Frozen embeddings of texts."""
    logit_scale: float | None = None
    """exp of the backbone's own."""


class InversionEngine:
    """Computes steps.

    Args:
        apparatus: the networks, on the run's device.
        settings: of the run.
        autocast: entered wherever projection and tower run with gradient.
        processes: those that share each batch.
    """

    def __init__(
        self,
        apparatus: Apparatus,
        settings: InversionSettings,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
        processes: Processes | None = None,
    ) -> None:
        self._apparatus, self._settings = apparatus, settings
        self._autocast, self._processes = autocast, processes or Processes()

    def step(self, lessons: Lessons, backward: Callable[[Tensor], None]) -> Tensor:
        """Add this process's part of the gradients to the projection; return the detached loss.

        The parts add up to the gradients of the loss of the whole batch.
        """
        seen, batch = frozen_batch(self._apparatus, lessons)
        with self._autocast():
            composition = self._composed(lessons, seen)
        mine = self._processes.share(len(lessons))
        if self._settings.chunk_size is None:
            made = self._made(composition, self._embedded(composition, mine), mine)
            loss = self._apparatus.training.loss(made, batch)
            backward(loss)
            return loss.detach()
        return self._step_in_parts(composition, batch, mine, backward)

    def _step_in_parts(
        self,
        composition: Composition,
        batch: LessonBatch,
        mine: slice,
        backward: Callable[..., None],
    ) -> Tensor:
        """Gradient caching (Gao et al. 2021): embed without gradient, take the loss's gradient at
        the embeddings, then embed each part again and pass it on."""
        parts = parts_of(mine, self._settings.chunk_size or len(batch.targets))
        with torch.no_grad():
            embedded = torch.cat([self._embedded(composition, rows) for rows in parts])
        embedded.requires_grad_()
        made = self._made(composition, embedded, mine)
        loss = self._apparatus.training.loss(made, batch)
        wanted, direct = torch.autograd.grad(loss, (embedded, made.tokens), allow_unused=True)
        for rows in parts:
            own = slice(rows.start - mine.start, rows.stop - mine.start)
            # The projection's part of the graph serves every part of the batch.
            backward((self._embedded(composition, rows) * wanted[own]).sum(), retain_graph=True)
        if direct is not None:
            backward((made.tokens * direct).sum())
        return loss.detach()

    def _composed(self, lessons: Lessons, seen: Tensor) -> Composition:
        settings, apparatus = self._settings, self._apparatus
        generator = torch.Generator().manual_seed(lessons.seed)
        relative = settings.noise == "relative"
        noisy = add_noise(seen, settings.noise_scale, generator, relative=relative)
        torch.manual_seed(lessons.seed)  # dropout is a function of seed and step too
        return apparatus.training.compose(
            apparatus.method, apparatus.projection, noisy, lessons.prompts
        )

    def _embedded(self, composition: Composition, rows: slice) -> Tensor:
        """[rows, embed_dim] in fp32: small gradients would be rounded to zero in fp16."""
        with self._autocast():
            return embed_rows(self._apparatus, composition, rows)

    def _made(self, composition: Composition, embedded: Tensor, mine: slice) -> Inverted:
        tokens = pseudo_tokens_of(composition)
        return Inverted(
            self._whole(tokens[mine], mine, len(tokens)), self._whole(embedded, mine, len(tokens))
        )

    def _whole(self, own: Tensor, mine: slice, length: int) -> Tensor:
        """All processes' rows, of which this one's carry gradient."""
        if self._processes.count == 1:
            return own
        others = self._processes.gather(own, length)
        return torch.cat([others[: mine.start], own, others[mine.stop :]])


def frozen_batch(apparatus: Apparatus, lessons: Lessons) -> tuple[Tensor, LessonBatch]:
    """[B, embed_dim] embeddings of what the lessons are about, and what a loss compares with."""
    seen = apparatus.source.embeddings(lessons.places, apparatus.anchors)
    targets = seen
    own = [row for row, lesson in enumerate(lessons.lessons) if lesson.target is not None]
    if own:
        texts = apparatus.anchors([str(lessons.lessons[row].target) for row in own])
        targets = seen.index_copy(0, torch.tensor(own, device=seen.device), texts)
    taught = apparatus.source.taught(lessons.places)
    taught = None if taught is None else taught.to(seen.device)
    return seen, LessonBatch(targets, apparatus.logit_scale, taught)


def embed_rows(apparatus: Apparatus, composition: Composition, rows: slice) -> Tensor:
    """[rows, embed_dim] fp32 embeddings of some rows of a composition, unnormalised."""
    part = replace(
        composition,
        queries=tuple(
            replace(
                query,
                prompts=query.prompts[rows],
                pseudo_tokens=None if query.pseudo_tokens is None else query.pseudo_tokens[rows],
            )
            for query in composition.queries
        ),
    )
    (embedded,) = embed_compositions(apparatus.tower, apparatus.tokenizer, [part])
    return embedded.float()


def pseudo_tokens_of(composition: Composition) -> Tensor:
    """[B, K, text width] of all of a composition's queries, one after another."""
    found = [query.pseudo_tokens for query in composition.queries]
    return torch.cat([tokens for tokens in found if tokens is not None], dim=1)
