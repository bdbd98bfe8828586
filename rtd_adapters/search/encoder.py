"""Pictures, texts and composed queries to vectors: the whole of a search but the index."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.backbones import DEFAULT, Backbone, load_backbone
from rtd_adapters.clip.image_fingerprint import image_fingerprint
from rtd_adapters.clip.text import TextTower
from rtd_adapters.compute.devices import require_device, usual_device
from rtd_adapters.errors import EvaluationError, UsageError
from rtd_adapters.evaluation.image_tower import ImageTower, autocast, require_precision
from rtd_adapters.evaluation.pictures import picture_transform, require_preprocessing
from rtd_adapters.evaluation.queries import (
    COMPOSED,
    QueryEmbedder,
    Way,
    averaged,
    embed_plain,
    require_pairs,
)
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.projections import load_projection
from rtd_adapters.methods.reference import Reference
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.search.batches import (
    as_queries,
    in_rgb,
    pictures_by_batch,
    require_texts,
    rows_by_batch,
)
from rtd_adapters.search.seen import Seen
from rtd_adapters.search.towers import Towers

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

BATCH = 64


class CompositionEncoder:
    """A method, its projection, a backbone and a patch, ready to embed what a search compares.

    In fp32 a batch's embeddings are those of `embed_pictures` and `embed_composed`, and so of
    `rtd eval`, bit for bit. Threads may share an encoder, and those that `at` makes of it: they
    take turns, batch by batch. A picture that several of them pass at once must be loaded
    (`image.load()`), for PIL reads it when it is first looked at.

    Args:
        method: composes queries. None for pictures and plain texts alone.
        projection: the method's, as `load_projection` gives it; None without a method.
        backbone: with its image tower, on the device where the projection is too.
        patch: None where there is the base encoder alone.
        strength: of the patch: 0 is the base encoder, 1 the patched one. Without a patch it is 0.
        precision: of the image tower: no, fp16 or bf16, by autocast, as `rtd eval --precision`.
        text_precision: of the text tower and the projection, likewise; `rtd eval` has them in fp32.
        preprocess: of pictures, as in `embed_pictures`.

    Raises:
        UsageError: an argument has no such value, or the backbone has no image tower.
        PatchError: the patch was made for another text tower.
    """

    def __init__(
        self,
        method: Method | None,
        projection: nn.Module | None,
        backbone: Backbone,
        patch: TextEncoderPatch | None = None,
        *,
        strength: float = 1.0,
        precision: str = "no",
        text_precision: str = "no",
        preprocess: str = "clip",
    ) -> None:
        _require_choices(precision, text_precision, preprocess)
        self.method, self.projection, self.backbone = method, projection, backbone
        self.patch, self.preprocess = patch, preprocess
        self.precision, self.text_precision = precision, text_precision
        self._towers = Towers(backbone, patch)
        self._eyes = ImageTower(backbone.images()[0], precision)
        self._transform = picture_transform(backbone, preprocess)
        self._turn = threading.RLock()
        self._sees_units = cache(self._normalises)  # shared by the copies that `at` makes
        self.strength = 0.0 if patch is None and strength == 1 else strength
        self._towers.require(self.strength)

    @classmethod
    def load(
        cls,
        method: str | None,
        *,
        backbone: str = DEFAULT,
        pretrained: str | None = None,
        projection: Path | None = None,
        patch: str | Path | TextEncoderPatch | None = None,
        strength: float = 1.0,
        device: str | None = None,
        precision: str = "no",
        text_precision: str = "no",
        preprocess: str = "clip",
        method_options: Mapping[str, str] = MappingProxyType({}),
    ) -> CompositionEncoder:
        """An encoder of what these names and files mean, cheapest checks first.

        Args:
            method: name of an installed method; None for pictures and plain texts alone.
            backbone: as in `load_backbone`.
            pretrained: likewise.
            projection: its file; the one that the backbone brings where it is None. Without a
                method it is not opened.
            patch: a patch or its file.
            strength: as for the class.
            precision: likewise.
            text_precision: likewise.
            preprocess: likewise.
            device: cpu, cuda or mps; the GPU by default, where there is one.
            method_options: chosen options of the method, by name.

        Raises:
            RtdError: an input is missing, damaged, or does not fit another.
        """
        _require_choices(precision, text_precision, preprocess)
        require_device(device)
        asked = None if method is None else get_method(method).configured(method_options)
        loaded = TextEncoderPatch.load(patch) if isinstance(patch, (str, Path)) else patch
        clip = load_backbone(backbone, pretrained)
        clip.images()  # an encoder looks at pictures
        where = usual_device(device)
        module = None if asked is None else load_projection(asked, clip, projection)[0].to(where)
        return cls(
            asked,
            module,
            clip.to(where),
            loaded,
            strength=strength,
            precision=precision,
            text_precision=text_precision,
            preprocess=preprocess,
        )

    def at(self, strength: float) -> CompositionEncoder:
        """The same encoder with the patch at another strength; 0 is the base encoder. They share
        all they have, and the towers of the last few strengths are kept.

        Raises:
            UsageError: the strength is not between 0 and 1, or above 0 without a patch.
        """
        self._towers.require(strength)
        other = copy.copy(self)
        other.strength = strength
        return other

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.backbone.tower.device

    @property
    def embed_dim(self) -> int:
        """Length of its vectors."""
        return self.backbone.shape.embed_dim

    @property
    def image_fingerprint(self) -> str:
        """What tells whether pictures were embedded by the same image tower."""
        with self._turn:
            return image_fingerprint(self._eyes.model)

    @property
    def tower(self) -> TextTower:
        """The text tower of its composed queries."""
        return self._towers.at(self.strength)

    @torch.no_grad()
    def see(self, images: Iterable[Image], *, batch_size: int = BATCH) -> Seen:
        """Pictures as the image tower sees them, on the CPU: embeddings, and states where the
        method reads them. Kept, they need not be looked at again for the next query.

        Args:
            images: any number; they are drawn batch by batch, so that a generator may open them.
            batch_size: pictures at a time.

        Raises:
            EvaluationError: an embedding is not finite, or memory does not do.
        """
        parts = [self._seen(batch) for batch in pictures_by_batch(images, batch_size)]
        if not parts:
            return Seen(torch.empty(0, self.embed_dim))
        states = [part.states.cpu() for part in parts if part.states is not None]
        embedding = torch.cat([part.embedding.cpu() for part in parts])
        return Seen(embedding, torch.cat(states) if states else None)

    @torch.no_grad()
    def encode_images(
        self, images: Iterable[Image], *, batch_size: int = BATCH, convert_to_tensor: bool = False
    ) -> Any:
        """[N, embed_dim] unit embeddings of pictures, in fp32.

        Args:
            images: N of them, drawn batch by batch as in `see`.
            batch_size: pictures at a time.
            convert_to_tensor: a torch tensor on the encoder's device, instead of a numpy array.

        Raises:
            EvaluationError: as `see`.
        """
        drawn = pictures_by_batch(images, batch_size)
        rows = [F.normalize(self._embeddings(batch), dim=-1) for batch in drawn]
        return self._result(rows, convert_to_tensor)

    @torch.no_grad()
    def encode_texts(
        self, texts: Sequence[str], *, batch_size: int = BATCH, convert_to_tensor: bool = False
    ) -> Any:
        """[N, embed_dim] unit embeddings of plain texts by the base tower, word for word, in fp32:
        a patch leaves text-to-image search as it was.

        Args:
            texts: N of them.
            batch_size: texts at a time.
            convert_to_tensor: as in `encode_images`.

        Raises:
            UsageError: they are no list of texts.
        """
        require_texts(texts)
        base, rows = self._towers.base, []
        tokenizer = base.tokenizer() if self.method is None else self.method.tokenizer(base)
        for part in rows_by_batch(len(texts), batch_size):
            with self._turn, autocast(self.device, self.text_precision):
                found = embed_plain(base, tokenizer, as_queries(texts[part]))
                rows.append(self._finite(found))
        return self._result(rows, convert_to_tensor)

    @torch.no_grad()
    def encode_composed(
        self,
        images: Sequence[Image] | Seen,
        texts: Sequence[str],
        *,
        way: Way = COMPOSED,
        batch_size: int = BATCH,
        convert_to_tensor: bool = False,
    ) -> Any:
        """[N, embed_dim] unit embeddings of composed queries, in fp32.

        Args:
            images: N reference pictures, or what `see` gave of them.
            texts: N conditioning texts.
            way: how a query is made: as the method does, or as a rival (`evaluation.rivals`) does
                with this encoder's tower; `at(0)` has the base tower.
            batch_size: queries at a time.
            convert_to_tensor: as in `encode_images`.

        Raises:
            UsageError: there is no method, there are not as many texts as pictures, or what was
                seen lacks states that the method reads, or was normalised.
            TripletError: a text is so long that its prompt loses the placeholder.
            EvaluationError: an embedding is not finite, or memory does not do.
        """
        require_texts(texts)
        require_pairs(len(images), len(texts))
        tower, embedder, rows = self.tower, QueryEmbedder(*self._composing()), []
        if isinstance(images, Seen):
            self._require_as_seen(embedder.method, images)
        for part in rows_by_batch(len(texts), batch_size):
            shown = images.part(part) if isinstance(images, Seen) else self._seen(images[part])
            asked = as_queries(texts[part])
            with self._turn, autocast(self.device, self.text_precision):
                sides = embedder.sides(tower, asked, shown.embedding, shown.states)
                rows.append(self._finite(averaged(sides, way)))
        return self._result(rows, convert_to_tensor)

    @torch.no_grad()
    def prompts(
        self, texts: Sequence[str], images: Sequence[Image] | Seen | None = None
    ) -> list[str]:
        """What the text tower is asked, with the placeholder where pseudo tokens stand.

        Args:
            texts: conditioning texts.
            images: the reference pictures, for methods whose prompt depends on them (FTI4CIR names
                as many attributes as it finds). Without them, the prompt as the method declares it.
        """
        require_texts(texts)
        method, projection = self._composing()
        tokenizer = method.tokenizer(self._towers.base)
        cleaned = [tokenizer.clean(text) for text in texts]
        if images is None:
            return [method.composed_prompt.format(text=text) for text in cleaned]
        require_pairs(len(images), len(texts))
        seen = images if isinstance(images, Seen) else self.see(images)
        self._require_as_seen(method, seen)
        states = None if seen.states is None else seen.states.to(self.device)
        with self._turn:
            reference = Reference.of_pictures(
                seen.embedding.to(self.device), self.tower, tokenizer, states
            )
            asked = method.composed(projection, reference, cleaned)
        return [
            " + ".join(dict.fromkeys(row))
            for row in zip(*(query.prompts for query in asked.queries), strict=True)
        ]

    def _composing(self) -> tuple[Method, nn.Module]:
        """What composes queries."""
        if self.method is None or self.projection is None:
            raise UsageError(
                "this encoder has no method, so it composes no queries. Load it with one (rtd "
                "methods lists them)."
            )
        return self.method, self.projection

    def _seen(self, images: Sequence[Image]) -> Seen:
        """One batch, on the device; with states where the method reads them."""
        if self.method is None or not self.method.needs_states:
            return Seen(self._embeddings(images))
        pixels = self._pixels(images)
        with self._turn:
            found = self._eyes.states(pixels.to(self.device))
        return Seen(self._finite(found.embedding), found.tokens)

    def _embeddings(self, images: Sequence[Image]) -> Tensor:
        """[B, embed_dim] of one batch, on the device, not normalised."""
        pixels = self._pixels(images)
        with self._turn:
            return self._finite(self._eyes.embeddings(pixels.to(self.device)))

    def _pixels(self, images: Sequence[Image]) -> Tensor:
        """[B, 3, H, W]; many threads may prepare pictures while one computes."""
        return torch.stack([self._transform(in_rgb(image)) for image in images])

    def _require_as_seen(self, method: Method, seen: Seen) -> None:
        """Refuse kept embeddings that make other queries than the pictures would."""
        if method.needs_states and seen.states is None:
            raise UsageError(
                f"{method.name} reads an image tower's states, which kept embeddings lack. "
                "Pass the pictures, or what see() gives of them."
            )
        if seen.units and not self._sees_units():
            raise UsageError(
                f"these embeddings are normalised, and {method.name} reads them as "
                f"{self.backbone.label} gives them. Keep what see() gives, beside what is searched."
            )

    def _normalises(self) -> bool:
        """Whether the image tower itself normalises, as CoCa's does."""
        from PIL import Image

        return Seen(self._embeddings([Image.effect_noise((64, 64), 60)])).units

    def _finite(self, embeddings: Tensor) -> Tensor:
        if not embeddings.isfinite().all():
            raise EvaluationError(
                f"{self.backbone.label} gives an embedding that is not finite (precision "
                f"{self.precision}, text_precision {self.text_precision}). Use bf16 or no."
            )
        return embeddings

    def _result(self, rows: list[Tensor], convert_to_tensor: bool) -> Tensor | np.ndarray:
        found = torch.cat(rows) if rows else torch.empty(0, self.embed_dim, device=self.device)
        return found if convert_to_tensor else found.cpu().numpy()


def _require_choices(precision: str, text_precision: str, preprocess: str) -> None:
    require_precision(precision)
    require_precision(text_precision)
    require_preprocessing(preprocess)
