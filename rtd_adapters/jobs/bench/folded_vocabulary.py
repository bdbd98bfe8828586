"""CLIP's tokens in another tower's table, for towers whose own tokenizer is not at hand."""

from __future__ import annotations

from rtd_adapters.clip.text import TowerConfig
from rtd_adapters.clip.text.vocabulary import BytePairs

PLACEHOLDER, WORDS = 3, 10
"""The placeholder's row, and the first that a word may have: rows before are of other uses."""


class FoldedBytePairs(BytePairs):
    """OpenAI's byte pairs, each word's id taken modulo the rows of a table.

    What is timed are lengths, and how many words differ; folding changes neither much.

    Args:
        config: of the tower.
    """

    def __init__(self, config: TowerConfig) -> None:
        self.pad_id = config.pad_id or 0
        self._rows = config.vocab_size - WORDS - 1
        self._end = config.eos_id if config.eos_id is not None else config.vocab_size - 1

    def ids(self, text: str, added_token: str | None = None) -> tuple[int, ...]:
        """The whole text; the last token is the tower's own end of text."""
        words = (WORDS + i % self._rows for i in super().ids(text, added_token)[:-1])
        return (*words, self._end)

    def prompt_ids(
        self, prompt: str, placeholder: str, added_token: str | None = None
    ) -> tuple[int, ...]:
        """The same, its placeholders at their own row."""
        own = super().ids(placeholder, added_token)[1]
        whole = super().ids(prompt, added_token)
        folded = self.ids(prompt, added_token)
        row = self.placeholder_id(placeholder, added_token)
        return tuple(
            row if before == own else after for before, after in zip(whole, folded, strict=True)
        )

    def placeholder_id(self, placeholder: str, added_token: str | None = None) -> int:
        """A row of its own."""
        return PLACEHOLDER
