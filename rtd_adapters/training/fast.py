"""The fast step: what the reference step computes, and nothing twice or for nothing.

Exact: loss and gradients equal `ReferenceEngine`'s up to rounding. `packing` does the computing;
here it is decided what is packed together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from rtd_adapters.methods import Query
from rtd_adapters.text import TextTower
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.engine import Towers, refined_reference, text_prompts
from rtd_adapters.training.objective import nt_xent
from rtd_adapters.training.packing import Rider, encode_pack, pack_texts
from rtd_adapters.training.settings import TrainingSettings


class FastEngine:
    """The packed step.

    Each distinct caption meets the frozen tower once, and a reference's embedding serves both as
    anchor and for its pseudo token. Where the bare prompt is the beginning of the composed one, as
    in "a photo of $", its end of text rides on the composed prompt.
    """

    def __init__(
        self,
        towers: Towers,
        settings: TrainingSettings,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self._towers = towers
        self._settings = settings
        self._autocast = autocast

    def step(self, batch: TripletBatch, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the gradients of the batch's loss to the student and return the detached loss."""
        loss = self.loss(batch)
        backward(loss)
        return loss.detach()

    def loss(self, batch: TripletBatch) -> Tensor:
        """The objective of one refined batch, a scalar in fp32."""
        refined = self._settings.refined_batch
        captions = [*batch.targets, *(batch.references if refined else []), *batch.plain]
        anchors = self._anchors([*captions, *batch.references])
        references = anchors[len(captions) :]
        with self._autocast():
            queries = [*self._prompts(batch, references)]
            if batch.plain:
                queries.append(self._encode(self._towers.student, batch.plain))
        return nt_xent(anchors[: len(captions)], torch.cat(queries), self._settings.temperature)

    def _prompts(self, batch: TripletBatch, references: Tensor) -> list[Tensor]:
        towers, refined = self._towers, self._settings.refined_batch
        if self._settings.concat == "text":
            texts = text_prompts(towers.method, batch)
            return [self._encode(towers.student, part) for part in texts[: 1 + refined]]
        reference = refined_reference(towers, batch, references, self._settings.noise_scale)
        composed = towers.method.composed_query(towers.projection, reference)
        if not refined:
            return [self._encode_query(composed)]
        bare = towers.method.bare_query(towers.projection, reference)
        rider = self._rider(composed, bare)
        if rider is None:
            return [self._encode_query(composed), self._encode_query(bare)]
        return [self._encode_query(composed, rider)]

    def _rider(self, composed: Query, bare: Query) -> Rider | None:
        """The bare prompt's end of text, if every composed prompt begins with the bare one."""
        if len(set(bare.prompts)) > 1 or not torch.equal(
            composed.pseudo_tokens, bare.pseudo_tokens
        ):
            return None
        tokenizer = self._towers.tokenizer
        short = tokenizer.encode_prompts(bare.prompts[:1])[0]
        place = int(short.argmax())
        longer = tokenizer.encode_prompts(composed.prompts)[:, :place]
        if not torch.equal(longer, short[:place].expand_as(longer)):
            return None
        return Rider(int(short[place]), place)

    def _encode_query(self, query: Query, rider: Rider | None = None) -> Tensor:
        towers = self._towers
        ids = towers.tokenizer.encode_prompts(query.prompts).to(towers.device)
        placeholder = towers.tokenizer.placeholder_id
        assert placeholder is not None  # encode_prompts refused a tokenizer without one
        holes = torch.eq(ids, placeholder)
        # A placeholder has another pseudo token in each text, so no prefix reaches into it.
        pack = pack_texts(ids, rider, keep=int(holes.int().argmax(dim=1).min()))
        used = torch.arange(query.pseudo_tokens.shape[1], device=ids.device) < holes.sum(1)[:, None]
        return encode_pack(towers.student, pack, query.pseudo_tokens[used], placeholder)

    @torch.no_grad()
    def _anchors(self, captions: Sequence[str]) -> Tensor:
        """[N, embed_dim] frozen embeddings; each distinct caption is computed once."""
        place = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
        found = self._encode(self._towers.frozen, list(place))
        return found[[place[caption] for caption in captions]]

    def _encode(self, tower: TextTower, texts: Sequence[str]) -> Tensor:
        ids = self._towers.tokenizer.encode(texts).to(self._towers.device)
        return encode_pack(tower, pack_texts(ids))
