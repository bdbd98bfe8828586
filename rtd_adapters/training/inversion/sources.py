"""What a projection learns from: captions, or pictures that an image tower has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Protocol

import torch
from torch import Tensor

from rtd_adapters.clip.text import Tokenizer, clean_caption
from rtd_adapters.errors import TripletError
from rtd_adapters.methods.inversion import Concept, Described
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.triplets.seen import Seen
from rtd_adapters.triplets.spans import SpanFinder

REMEMBERED = 1 << 20
"""Captions whose keywords are kept in memory; beyond them they are found again each time."""
TRIED = 2048
"""Captions in which keywords are looked for before a run begins."""


class Source(Protocol):
    """Things to learn from, by their place."""

    def __len__(self) -> int:
        """How many there are."""

    def described(self, places: Sequence[int]) -> Sequence[Described]:
        """What is told of some."""

    def embeddings(self, places: Sequence[int], anchors: Anchors) -> Tensor:
        """[N, embed_dim] frozen embeddings of some, unnormalised, in fp32 on the anchors' device.

        Every process asks for the same.
        """

    def taught(self, places: Sequence[int]) -> Tensor | None:
        """[N, text width] tokens that some are to be taught, on the CPU; None where there are
        none."""


class CaptionSource:
    """Captions, as LinCIR's training reads them.

    Args:
        captions: raw ones. Empty ones and repeated ones (lower case) are dropped, the latter so
            that nothing held out is learned.
        tokenizer: the method's.
        finder: of their keywords.

    Raises:
        TripletError: none is left; how many went why is said.
    """

    def __init__(
        self, captions: Iterable[str | None], tokenizer: Tokenizer, finder: SpanFinder
    ) -> None:
        self.dropped: Counter[str] = Counter()
        """Reason to number of captions."""
        self._tokenizer, self._finder = tokenizer, finder
        self._texts = self._kept(captions)
        self._known: dict[int, Described] = {}
        if not self._texts:
            gone = ", ".join(f"{n:,} {reason}" for reason, n in self.dropped.items())
            raise TripletError(
                f"No caption is left to learn from ({gone or 'there was none'}). Bring a file with "
                "a caption a line, or name the column with --column."
            )

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def sha256(self) -> str:
        """Of the captions that are left."""
        digest = sha256()
        for text in self._texts:
            digest.update(f"{text}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def keyword_share(self) -> float:
        """Share of the first captions, `TRIED` at most, that have a keyword.

        Raises:
            TripletError: none of them has one.
        """
        tried = range(min(TRIED, len(self)))
        having = sum(bool(told.keywords) for told in self.described(tried))
        if not having:
            raise TripletError(
                f"None of the first {len(tried):,} captions has a keyword that {self._finder.name} "
                "finds: nouns and adjectives of English. Pass --keywords spacy if it is the word "
                "list, or other captions."
            )
        return having / len(tried)

    def described(self, places: Sequence[int]) -> list[Described]:
        """Cleaned captions and their keywords."""
        missing = [place for place in dict.fromkeys(places) if place not in self._known]
        captions = [clean_caption(self._texts[place], self._tokenizer) for place in missing]
        found = zip(captions, self._finder.find(captions), strict=True)
        fresh = {place: Described(*told) for place, told in zip(missing, found, strict=True)}
        if len(self._known) + len(fresh) <= REMEMBERED:
            self._known.update(fresh)
        return [fresh[place] if place in fresh else self._known[place] for place in places]

    def embeddings(self, places: Sequence[int], anchors: Anchors) -> Tensor:
        """[N, embed_dim] of the cleaned captions by the frozen tower."""
        return anchors([told.caption for told in self.described(places)])

    def taught(self, places: Sequence[int]) -> None:
        """None: captions are not inverted one by one."""

    def _kept(self, captions: Iterable[str | None]) -> list[str]:
        kept, seen = [], Seen()
        sign = self._tokenizer.placeholder or ""
        for caption in captions:
            text = caption or ""
            if not text.replace(sign, "").strip():
                self.dropped["empty"] += 1
            elif not seen.is_new(text.lower()):
                self.dropped["repeated"] += 1
            else:
                kept.append(text)
        return kept


class PictureSource:
    """Pictures, by their embeddings, and what is told of them.

    Args:
        embeddings: [N, embed_dim] by the image tower, unnormalised.
        concepts: of which pictures are told the nearest, in any order.
        nearest: [N, K] which these are, the nearest first.
        tokens: [N, text width] that they are to be taught.

    Raises:
        TripletError: there are none.
    """

    def __init__(
        self,
        embeddings: Tensor,
        concepts: Sequence[Concept] = (),
        nearest: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> None:
        if not len(embeddings):
            raise TripletError("No picture is left to learn from. Name a folder with pictures.")
        self._embeddings = embeddings.float()
        self._concepts, self._nearest, self._tokens = concepts, nearest, tokens

    def __len__(self) -> int:
        return len(self._embeddings)

    def described(self, places: Sequence[int]) -> list[Described]:
        """The concepts that each is near."""
        if self._nearest is None:
            return [Described()] * len(places)
        rows = self._nearest[torch.tensor(places, dtype=torch.long)].tolist()
        return [Described(concepts=[self._concepts[place] for place in row]) for row in rows]

    def embeddings(self, places: Sequence[int], anchors: Anchors) -> Tensor:
        """[N, embed_dim] of some."""
        return self._embeddings[torch.tensor(places, dtype=torch.long)].to(anchors.device)

    def taught(self, places: Sequence[int]) -> Tensor | None:
        """[N, text width] of some."""
        if self._tokens is None:
            return None
        return self._tokens[torch.tensor(places, dtype=torch.long)]

    def with_concepts(self, concepts: Sequence[Concept], nearest: Tensor) -> PictureSource:
        """The same, told concepts; arguments as of the class."""
        return PictureSource(self._embeddings, concepts, nearest, self._tokens)

    def with_tokens(self, tokens: Tensor) -> PictureSource:
        """The same, with tokens to be taught; arguments as of the class."""
        return PictureSource(self._embeddings, self._concepts, self._nearest, tokens)
