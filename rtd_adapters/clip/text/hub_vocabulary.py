"""Vocabularies in Hugging Face's form: WordPiece, SentencePiece and byte pairs of other towers."""

from __future__ import annotations

import copy
import hashlib
import unicodedata
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from rtd_adapters.clip.text.vocabulary import Vocabulary
from rtd_adapters.errors import BackboneError, UsageError, first_line

SENTINEL = "<|rtd-pseudo-token|>"
"""Stands for a placeholder in a prompt while it is tokenized; no cleaning rule meets it."""
RESERVED = ("[unused0]", "<unused0>", "<extra_id_0>", "[MASK]", "<mask>", "<unk>")
"""Rows that no text comes to, for placeholders that the vocabulary does not have, in order."""
KEPT = 1 << 16
"""Texts whose ids are remembered."""
FILES = "tokenizer.json and tokenizer_config.json"


class HubVocabulary(Vocabulary):
    """A tokenizer of transformers, with what open_clip does before and after it.

    Args:
        tokenizer: a fast tokenizer of transformers.
        name: where it comes from.
        clean: what is done to a text before it.
        strip_sep: whether the token that ends a text is replaced by padding (CLIPA).
    """

    def __init__(
        self,
        tokenizer: Any,
        name: str,
        clean: Callable[[str], str] = str,
        strip_sep: bool = False,
    ) -> None:
        self.name = name
        self._tokenizer, self._clean, self._strip_sep = tokenizer, clean, strip_sep
        if tokenizer.pad_token_id is None:
            raise BackboneError(f"The tokenizer of {name} has no padding token.")
        self.pad_id = tokenizer.pad_token_id
        self.special_tokens = tuple(map(str, tokenizer.all_special_tokens))
        empty, one = self._encoded(tokenizer, ""), self._encoded(tokenizer, "a")
        self.prefix = next(
            (n for n, pair in enumerate(zip(empty, one, strict=False)) if pair[0] != pair[1]),
            len(empty),
        )
        self.suffix = len(empty) - self.prefix
        self._kept_ids = lru_cache(maxsize=KEPT)(self._text_ids)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the tokenizer's own file and of what is done before and after it."""
        backend = self._tokenizer.backend_tokenizer.to_str()
        rest = f"{getattr(self._clean, '__name__', '')} {self._strip_sep}"
        return hashlib.sha256(f"{backend}\n{rest}".encode()).hexdigest()

    def ids(self, text: str, added_token: str | None = None) -> tuple[int, ...]:
        """As the backbone's own tokenizer gives them."""
        self._refuse(added_token)
        return self._kept_ids(text)

    def prompt_ids(
        self, prompt: str, placeholder: str, added_token: str | None = None
    ) -> tuple[int, ...]:
        """The parts of the prompt are cleaned one by one, and the placeholder is put between them
        as a token: cleaning rules such as SigLIP's delete signs."""
        self._refuse(added_token)
        text = SENTINEL.join(map(self._cleaned_part, prompt.split(placeholder)))
        sentinel = self._prompting.convert_tokens_to_ids(SENTINEL)
        row = self.placeholder_id(placeholder)
        return tuple(row if i == sentinel else i for i in self._encoded(self._prompting, text))

    def placeholder_id(self, placeholder: str, added_token: str | None = None) -> int:
        """The placeholder's own row where the vocabulary has one, or a reserved one."""
        self._refuse(added_token)
        unknown = self._tokenizer.unk_token_id
        for token in (placeholder, *RESERVED):
            row = self._tokenizer.convert_tokens_to_ids(token)
            if row is not None and (row != unknown or token == RESERVED[-1]) and row >= 0:
                return int(row)
        raise UsageError(
            f"The vocabulary of {self.name} has no row for the placeholder {placeholder!r}, and "
            f"none of {', '.join(RESERVED)}. Choose a method whose placeholder it has."
        )

    def words(self, ids: tuple[int, ...], added_token: str | None = None) -> str:
        """Decoded, without special tokens."""
        words = ids[self.prefix : len(ids) - self.suffix]
        return str(self._tokenizer.decode(list(words), skip_special_tokens=True)).strip()

    def normal(self, text: str) -> str:
        """Cleaned as before tokenizing, in Unicode's compatible form."""
        return unicodedata.normalize("NFKC", self._clean(text))

    @cached_property
    def _prompting(self) -> Any:
        """The tokenizer with a token for the placeholder; its vocabulary stays as it is."""
        from transformers import AddedToken

        tokenizer = copy.deepcopy(self._tokenizer)
        tokenizer.add_tokens([AddedToken(SENTINEL, special=True, normalized=False)])
        return tokenizer

    def _text_ids(self, text: str) -> tuple[int, ...]:
        return self._encoded(self._tokenizer, self._clean(text))

    def _encoded(self, tokenizer: Any, text: str) -> tuple[int, ...]:
        ids = tokenizer(text)["input_ids"]
        if self._strip_sep:
            ids = [0 if i == tokenizer.sep_token_id else i for i in ids]
        return tuple(ids)

    def _cleaned_part(self, part: str) -> str:
        """A part of a prompt, cleaned, with the spaces that join it to the placeholder."""
        if not part.strip():
            return " " if part else ""
        before = " " if part[0].isspace() else ""
        behind = " " if part[-1].isspace() else ""
        return f"{before}{self._clean(part)}{behind}"

    def _refuse(self, added_token: str | None) -> None:
        if added_token is not None:
            raise UsageError(
                f"this method's token {added_token!r} takes a row of OpenAI's vocabulary, and the "
                f"backbone has that of {self.name}. Choose a method without a token of its own, "
                "such as searle, lincir or pic2word."
            )


def load_tokenizer(source: str | Path, *, local: bool = False) -> Any:
    """A fast tokenizer of transformers.

    Args:
        source: a folder, or a name on the Hub.
        local: a folder that is not looked for on the Hub.

    Raises:
        BackboneError: it is not there and cannot be fetched, or is no fast tokenizer; what to
            download and where to put it is said.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), local_files_only=local)
    except Exception as error:  # transformers and the Hub's client raise what they like
        raise BackboneError(_missing(source, first_line(error))) from error
    if not getattr(tokenizer, "is_fast", False):
        raise BackboneError(_missing(source, "it holds no fast tokenizer"))
    return tokenizer


def _missing(source: str | Path, reason: str) -> str:
    if Path(source).is_dir():
        return (
            f"The folder {source} has no tokenizer that loads ({reason}). Put {FILES} of the "
            "model's repository there."
        )
    return (
        f"The tokenizer {source} is not in Hugging Face's cache and cannot be fetched ({reason}). "
        f"Download {FILES} from the repository {source} and put them beside the weights file."
    )
