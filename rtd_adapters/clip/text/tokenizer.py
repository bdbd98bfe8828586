"""Texts and prompts to padded ids, strict about placeholders."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from rtd_adapters.clip.text.vocabulary import CLIP_BPE, Vocabulary
from rtd_adapters.errors import TripletError, UsageError


@dataclass(frozen=True)
class Notes:
    """What a tokenizer noted of the texts it saw."""

    truncated: frozenset[int]
    cleaned: frozenset[int]
    warning: str = ""
    """Of the first text that was cut."""


class Tokenizer:
    """Token ids for text towers, as the tower's own tokenizer gives them; by default
    `clip.tokenize`.

    Args:
        context_length: of the tower.
        placeholder: the token that pseudo tokens replace. In OpenAI's vocabulary it must be one
            token by itself; elsewhere it takes its own row or a reserved one.
        added_token: a token that takes the id of the last BPE merge (49405), as in Context-I2W.
            The vocabulary keeps its size; one English word ("jekyll") is spelled in pieces.
        vocabulary: the tower's.

    Raises:
        UsageError: the placeholder is not one token, or the vocabulary has no row for it.
    """

    def __init__(
        self,
        context_length: int = 77,
        placeholder: str | None = None,
        added_token: str | None = None,
        vocabulary: Vocabulary = CLIP_BPE,
    ) -> None:
        self.context_length = context_length
        self.placeholder = placeholder
        self.added_token = added_token
        self.vocabulary = vocabulary
        self.placeholder_id = (
            vocabulary.placeholder_id(placeholder, added_token) if placeholder else None
        )
        removed = {*vocabulary.special_tokens, *filter(None, (placeholder, added_token))}
        self._removed = re.compile("|".join(map(re.escape, sorted(removed))), re.IGNORECASE)
        self._truncated: set[int] = set()
        self._cleaned: set[int] = set()
        self._warning = ""

    @property
    def truncated(self) -> int:
        """How many different texts were cut to the context length so far."""
        return len(self._truncated)

    @property
    def cleaned(self) -> int:
        """How many different texts had a placeholder or special token taken out so far."""
        return len(self._cleaned)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """[B, context_length] int64: each text with what begins and ends it, then padding;
        over-long text is cut, its end kept.

        The first cut warns; all are counted in `truncated`.
        """
        return self._padded(texts, [self._ids(text) for text in texts])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens `encode` keeps of each text, with those that begin and end it; nothing is
        noted."""
        return [min(len(self._ids(text)), self.context_length) for text in texts]

    def encode_prompts(self, prompts: Sequence[str], counts: Sequence[int] | None = None) -> Tensor:
        """[B, context_length] int64 as `encode`, with every placeholder found again as a token.

        Args:
            prompts: B prompts.
            counts: how many placeholders each has; by default one.

        Raises:
            UsageError: this tokenizer has no placeholder.
            TripletError: a placeholder got lost or was cut off, or there are too many; the
                message quotes the prompt.
        """
        if self.placeholder_id is None:
            raise UsageError("This tokenizer has no placeholder. Pass Tokenizer(placeholder=...).")
        ids = self._padded(prompts, [self._prompt_ids(prompt) for prompt in prompts])
        wanted = torch.ones(len(prompts), dtype=torch.int64) if counts is None else counts
        present = (ids == self.placeholder_id).sum(dim=1)
        wrong = (present != torch.as_tensor(wanted)).nonzero().flatten().tolist()
        if wrong:
            row = wrong[0]
            raise TripletError(self._complaint(prompts[row], int(present[row]), int(wanted[row])))
        return ids

    def clean(self, text: str) -> str:
        """The text without placeholders and special tokens, which would be read as such.

        Spellings that only become one in tokenization (`&#36;`, a full-width `$`), or when another
        is taken out, count too.
        """
        kept = self._removed.sub("", text)
        while self._removed.search(normal := self.vocabulary.normal(kept)):
            kept = self._removed.sub("", normal)
        if kept != text:
            self._cleaned.add(_digest(text))
        return kept

    def shorten(self, text: str) -> str:
        """The text itself or, where it is too long, the words that `encode` would keep."""
        ids = self._ids(text)
        if len(ids) <= self.context_length:
            return text
        self._note_truncated(text, len(ids))
        kept = self.vocabulary.cut(ids, self.context_length)
        return self.vocabulary.words(kept, self.added_token)

    def _padded(self, texts: Sequence[str], rows: Sequence[tuple[int, ...]]) -> Tensor:
        kept = []
        for text, whole in zip(texts, rows, strict=True):
            if len(whole) > self.context_length:
                self._note_truncated(text, len(whole))
            kept.append(self.vocabulary.cut(whole, self.context_length))
        padded = np.full((len(kept), self.context_length), self.vocabulary.pad_id, dtype=np.int64)
        lengths = np.array([len(row) for row in kept], dtype=np.int64)
        padded[np.arange(self.context_length) < lengths[:, None]] = list(chain.from_iterable(kept))
        return torch.from_numpy(padded)

    def _ids(self, text: str) -> tuple[int, ...]:
        return self.vocabulary.ids(text, self.added_token)

    def _prompt_ids(self, prompt: str) -> tuple[int, ...]:
        assert self.placeholder is not None
        return self.vocabulary.prompt_ids(prompt, self.placeholder, self.added_token)

    def take_notes(self) -> Notes:
        """What was noted since this was last asked; it is not counted here any more."""
        taken = Notes(frozenset(self._truncated), frozenset(self._cleaned), self._warning)
        self._truncated, self._cleaned, self._warning = set(), set(), ""
        return taken

    def add_notes(self, notes: Notes) -> None:
        """Count what another tokenizer of the same kind noted; the first cut warns here too."""
        if notes.truncated and not self._truncated:
            warnings.warn(notes.warning, stacklevel=2)
        self._truncated |= notes.truncated
        self._cleaned |= notes.cleaned

    def _note_truncated(self, text: str, length: int) -> None:
        if not self._truncated:
            self._warning = (
                f"A text of {length} tokens was cut to {self.context_length}: {text[:60]!r}... "
                "Further ones are only counted."
            )
            warnings.warn(self._warning, stacklevel=4)
        self._truncated.add(_digest(text))

    def _complaint(self, prompt: str, present: int, wanted: int) -> str:
        sign, whole = self.placeholder, self._prompt_ids(prompt).count(self.placeholder_id or 0)
        if whole == wanted:
            return (
                f"The prompt is longer than {self.context_length} tokens and lost its placeholder "
                f"{sign!r} with its end: {prompt!r}. Shorten the text."
            )
        if whole < wanted:
            return (
                f"The prompt needs {wanted} placeholder(s) {sign!r}, but {present} came out of "
                f"tokenization: {prompt!r}. Put spaces round it, for signs beside it glue to it."
            )
        return (
            f"The prompt has {whole} placeholders {sign!r} instead of {wanted}: {prompt!r}. "
            "Take the others out of its text (Tokenizer.clean)."
        )


def _digest(text: str) -> int:
    """What stands for a text among those noted, in every process."""
    content = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")
