"""What a tokenizer is to a text tower: texts to ids, and a row for the placeholder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

from rtd_adapters.clip.text.byte_pairs import byte_pairs
from rtd_adapters.errors import UsageError


class Vocabulary(ABC):
    """The tokens of a text tower, and how its own tokenizer makes them of texts.

    Towers share it; it is never copied.
    """

    name: str
    """For messages and metadata."""
    size: int
    """Ids that it makes of words are below it."""
    pad_id: int
    """Of what stands behind a text."""
    end_id: int | None
    """Of what ends a text; None where nothing does."""
    special_tokens: tuple[str, ...]
    """Spellings that would be read as something else than text."""
    prefix: int
    """Tokens before the first word."""
    suffix: int
    """Tokens behind the last word."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What tells it from every vocabulary that makes other ids of some text."""

    @abstractmethod
    def ids(self, text: str, added_token: str | None = None) -> tuple[int, ...]:
        """The whole text, with what begins and ends it, not cut."""

    @abstractmethod
    def prompt_ids(
        self, prompt: str, placeholder: str, added_token: str | None = None
    ) -> tuple[int, ...]:
        """The same of a prompt; its placeholders are `placeholder_id`."""

    @abstractmethod
    def placeholder_id(self, placeholder: str, added_token: str | None = None) -> int:
        """The row that a placeholder takes.

        Raises:
            UsageError: there is none, or the vocabulary cannot add a token.
        """

    @abstractmethod
    def words(self, ids: tuple[int, ...], added_token: str | None = None) -> str:
        """The text of some ids, without what begins and ends it."""

    @abstractmethod
    def normal(self, text: str) -> str:
        """The text as the tokenizer sees it before it is cut into tokens."""

    def cut(self, ids: tuple[int, ...], length: int) -> tuple[int, ...]:
        """At most `length` tokens: words go from the end, what ends the text stays."""
        if len(ids) <= length:
            return ids
        return ids[: length - self.suffix] + ids[len(ids) - self.suffix :]

    def __deepcopy__(self, memo: dict[int, Any]) -> Vocabulary:
        return self


class BytePairs(Vocabulary):
    """OpenAI's byte pairs, by open_clip's `SimpleTokenizer`: CLIP's and most of its kin's."""

    name = "OpenAI's byte pairs"
    size = 49408
    pad_id, end_id = 0, 49407
    special_tokens = (
        "<|startoftext|>",
        "<|endoftext|>",
        "<start_of_text>",
        "<end_of_text>",
        "<|replace|>",
    )
    prefix = suffix = 1

    @property
    def fingerprint(self) -> str:
        """There is one."""
        return self.name

    def ids(self, text: str, added_token: str | None = None) -> tuple[int, ...]:
        """SOT, the whole text, EOT."""
        return _token_ids(text, added_token)

    def prompt_ids(
        self, prompt: str, placeholder: str, added_token: str | None = None
    ) -> tuple[int, ...]:
        """The same: the placeholder is a token of the text, as in the published code."""
        return _token_ids(prompt, added_token)

    def placeholder_id(self, placeholder: str, added_token: str | None = None) -> int:
        """The placeholder's own token, which it must be by itself."""
        ids = self.ids(placeholder, added_token)[1:-1]
        if len(ids) != 1:
            raise UsageError(
                f"The placeholder {placeholder!r} is {len(ids)} tokens; it must be one. "
                "Use a single character such as $ or *, or pass it as added_token."
            )
        return ids[0]

    def words(self, ids: tuple[int, ...], added_token: str | None = None) -> str:
        """Decoded, lower case."""
        return byte_pairs(added_token).decode(ids[1:-1]).strip()

    def normal(self, text: str) -> str:
        """Repaired, unescaped, lower case."""
        return _normal(text)


CLIP_BPE = BytePairs()


@lru_cache(maxsize=1 << 16)
def _token_ids(text: str, added_token: str | None) -> tuple[int, ...]:
    return byte_pairs(added_token).ids(text)


@lru_cache(maxsize=1 << 16)
def _normal(text: str) -> str:
    return byte_pairs().clean(text)
