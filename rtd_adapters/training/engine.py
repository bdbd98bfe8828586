"""The reference step: the objective of one batch, computed plainly.

Every text is padded to the context length and both towers run whole. It is slow and easy to check,
and every faster engine is held to its loss and gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from rtd_adapters.images import ImageHead
from rtd_adapters.methods import Method, Query, Reference
from rtd_adapters.text import TextTower, Tokenizer
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.concatenation import add_noise
from rtd_adapters.training.objective import nt_xent
from rtd_adapters.training.processes import Processes
from rtd_adapters.training.settings import TrainingSettings

if TYPE_CHECKING:
    from rtd_adapters.training.anchor_store import AnchorStore


@dataclass(frozen=True)
class Towers:
    """The networks of one run: what is trained and what stays frozen."""

    method: Method
    projection: nn.Module
    frozen: TextTower
    student: TextTower
    tokenizer: Tokenizer
    image_head: ImageHead = field(default_factory=ImageHead)
    """Lifts joint-space vectors for methods that read an image tower's states."""

    @property
    def device(self) -> torch.device:
        """Where the frozen tower lives; batches are moved there."""
        return self.frozen.positional_embedding.device


@dataclass(frozen=True)
class Means:
    """What a run lends its engine."""

    autocast: Callable[[], AbstractContextManager] = nullcontext
    """Entered wherever the student runs."""
    processes: Processes = field(default_factory=Processes)
    """Those that share each batch."""
    store: AnchorStore | None = None
    """Where anchors are kept, if anywhere."""


class Engine(Protocol):
    """One way to compute a step. Engines differ in speed, never in what they compute."""

    def step(self, batch: TripletBatch, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the gradients of the batch's loss to the student and return the detached loss."""


class ReferenceEngine:
    """The plain step."""

    def __init__(
        self,
        towers: Towers,
        settings: TrainingSettings,
        means: Means | None = None,
    ) -> None:
        self._towers = towers
        self._settings = settings
        self._autocast = (means or Means()).autocast

    def step(self, batch: TripletBatch, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the gradients of the batch's loss to the student and return the detached loss."""
        loss = self.loss(batch)
        backward(loss)
        return loss.detach()

    def loss(self, batch: TripletBatch) -> Tensor:
        """The objective of one refined batch, a scalar in fp32."""
        torch.manual_seed(batch.noise_seed)  # dropout is a function of seed and step too
        captions, embeddings = self._queries(batch)
        return nt_xent(self._anchors(captions), torch.cat(embeddings), self._settings.temperature)

    def _queries(self, batch: TripletBatch) -> tuple[list[str], list[Tensor]]:
        """The captions to be anchored and, in the same order, the student's embeddings."""
        composed, bare = self._prompts(batch)
        captions, embeddings = list(batch.targets), [self._student(composed)]
        if self._settings.refined_batch:
            captions += batch.references
            embeddings.append(self._student(bare))
        if batch.plain:
            captions += batch.plain
            embeddings.append(self._student(batch.plain))
        return captions, embeddings

    def _prompts(self, batch: TripletBatch) -> tuple[Query | list[str], Query | list[str]]:
        method = self._towers.method
        if self._settings.concat == "text":
            return text_prompts(method, batch)
        reference = refined_reference(
            self._towers, batch, self._anchors(batch.references), self._settings.noise_scale
        )
        projection = self._towers.projection
        return (
            method.composed_query(projection, reference),
            method.bare_query(projection, reference),
        )

    @torch.no_grad()
    def _anchors(self, captions: list[str]) -> Tensor:
        ids = self._towers.tokenizer.encode(captions).to(self._towers.device)
        return self._towers.frozen(ids)

    def _student(self, query: Query | list[str]) -> Tensor:
        tokenizer, device = self._towers.tokenizer, self._towers.device
        with self._autocast():
            if isinstance(query, list):
                return self._towers.student(tokenizer.encode(query).to(device))
            return encode_query(self._towers.student, tokenizer, query)


def refined_reference(
    towers: Towers, batch: TripletBatch, embedding: Tensor, noise_scale: float
) -> Reference:
    """The batch's references as the method sees them: `embedding` [B, embed_dim] plus noise."""
    generator = batch.generator()

    def noise(vectors: Tensor) -> Tensor:
        return add_noise(vectors, noise_scale, generator, batch.first, batch.whole)

    return Reference(
        captions=batch.references,
        conditioning=batch.conditioning,
        embedding=noise(embedding),
        noise=noise,
        image_head=towers.image_head,
        tower=towers.student,
        frozen=towers.frozen,
        tokenizer=towers.tokenizer,
    )


def encode_query(tower: TextTower, tokenizer: Tokenizer, query: Query) -> Tensor:
    """[B, embed_dim] embeddings of a query's prompts with its pseudo tokens, unnormalised."""
    ids = prompt_ids(tokenizer, query.prompts).to(query.pseudo_tokens.device)
    return tower(ids, query.pseudo_tokens, tokenizer.placeholder_id)


def prompt_ids(tokenizer: Tokenizer, prompts: Sequence[str]) -> Tensor:
    """[B, context_length] ids of prompts, each placeholder of each prompt found again.

    Raises:
        TripletError: a placeholder got lost in tokenization.
    """
    sign = tokenizer.placeholder or ""
    return tokenizer.encode_prompts(prompts, [prompt.count(sign) for prompt in prompts])


def text_prompts(method: Method, batch: TripletBatch) -> tuple[list[str], list[str]]:
    """Composed and bare prompts with the reference caption's own words at the placeholder.

    The naive concatenation that refined concatenation replaces; kept for the ablation.
    """
    composed = [
        method.composed_prompt.format(text=text).replace(method.placeholder, caption)
        for caption, text in zip(batch.references, batch.conditioning, strict=True)
    ]
    bare = [method.bare_prompt.replace(method.placeholder, caption) for caption in batch.references]
    return composed, bare
