"""OpenAI's byte-pair tokenizer, strict about placeholders. Texts are padded with 0."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rtd_adapters.errors import TripletError, UsageError

ADDED_ID = 49405
"""Of the last BPE merge, whose place a method's own token takes."""
SPECIAL_TOKENS = (
    "<|startoftext|>",
    "<|endoftext|>",
    "<start_of_text>",
    "<end_of_text>",
    "<|replace|>",
)


class Tokenizer:
    """Token ids for CLIP text towers, as OpenAI's `clip.tokenize` gives them.

    Args:
        context_length: of the tower.
        placeholder: the token that pseudo tokens replace; must be one token by itself.
        added_token: a token that takes the id of the last BPE merge (49405), as in Context-I2W.
            The vocabulary keeps its size; one English word ("jekyll") is spelled in pieces.

    Raises:
        UsageError: the placeholder is not one token.
    """

    def __init__(
        self,
        context_length: int = 77,
        placeholder: str | None = None,
        added_token: str | None = None,
    ) -> None:
        self.context_length = context_length
        self.placeholder = placeholder
        self.added_token = added_token
        self.placeholder_id = self._single_id(placeholder) if placeholder else None
        removed = {*SPECIAL_TOKENS, *filter(None, (placeholder, added_token))}
        self._removed = re.compile("|".join(map(re.escape, sorted(removed))), re.IGNORECASE)
        self._truncated: set[int] = set()
        self._cleaned: set[int] = set()

    @property
    def truncated(self) -> int:
        """How many different texts were cut to the context length so far."""
        return len(self._truncated)

    @property
    def cleaned(self) -> int:
        """How many different texts had a placeholder or special token taken out so far."""
        return len(self._cleaned)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """[B, context_length] int64: SOT, text, EOT, then 0; over-long text is cut, EOT kept.

        The first cut warns; all are counted in `truncated`.
        """
        ids = torch.zeros(len(texts), self.context_length, dtype=torch.int64)
        for row, text in enumerate(texts):
            kept = self._ids(text)
            if len(kept) > self.context_length:
                self._note_truncated(text, len(kept))
                kept = (*kept[: self.context_length - 1], kept[-1])
            ids[row, : len(kept)] = torch.tensor(kept)
        return ids

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens `encode` keeps of each text, SOT and EOT among them; nothing is noted."""
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
        ids = self.encode(prompts)
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
        while self._removed.search(normal := _normal(kept)):
            kept = self._removed.sub("", normal)
        if kept != text:
            self._cleaned.add(hash(text))
        return kept

    def shorten(self, text: str) -> str:
        """The text itself or, where it is too long, the words that `encode` would keep."""
        ids = self._ids(text)
        if len(ids) <= self.context_length:
            return text
        self._note_truncated(text, len(ids))
        return _bpe(self.added_token).decode(ids[1 : self.context_length - 1]).strip()

    def _ids(self, text: str) -> tuple[int, ...]:
        return _token_ids(text, self.added_token)

    def _single_id(self, placeholder: str) -> int:
        ids = self._ids(placeholder)[1:-1]
        if len(ids) != 1:
            raise UsageError(
                f"The placeholder {placeholder!r} is {len(ids)} tokens; it must be one. "
                "Use a single character such as $ or *, or pass it as added_token."
            )
        return ids[0]

    def _note_truncated(self, text: str, length: int) -> None:
        if not self._truncated:
            warnings.warn(
                f"A text of {length} tokens was cut to {self.context_length}: {text[:60]!r}... "
                "Further ones are only counted.",
                stacklevel=3,
            )
        self._truncated.add(hash(text))

    def _complaint(self, prompt: str, present: int, wanted: int) -> str:
        sign, whole = self.placeholder, self._ids(prompt).count(self.placeholder_id or 0)
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


@lru_cache(maxsize=1 << 16)
def _token_ids(text: str, added_token: str | None) -> tuple[int, ...]:
    """SOT, the whole text, EOT."""
    bpe = _bpe(added_token)
    return (bpe.sot_token_id, *bpe.encode(text), bpe.eot_token_id)


@lru_cache(maxsize=1 << 16)
def _normal(text: str) -> str:
    """The text as the byte-pair encoder sees it: repaired, unescaped, lower case."""
    return _bpe(None).clean_fn(text)


@lru_cache(maxsize=4)
def _bpe(added_token: str | None) -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    bpe = SimpleTokenizer()
    if added_token is not None:
        _replace_last_merge(bpe, added_token)
    return bpe


def _replace_last_merge(bpe: Any, token: str) -> None:
    import regex  # type: ignore[import-untyped]

    last = max(bpe.bpe_ranks, key=bpe.bpe_ranks.__getitem__)
    del bpe.bpe_ranks[last]
    del bpe.encoder["".join(last)]
    bpe.encoder[token] = ADDED_ID
    bpe.decoder[ADDED_ID] = token
    bpe.cache[token] = token
    bpe.pat = regex.compile(f"{regex.escape(token)}|{bpe.pat.pattern}", bpe.pat.flags)
