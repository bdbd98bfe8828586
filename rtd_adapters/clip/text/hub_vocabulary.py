"""Vocabularies in Hugging Face's form: WordPiece, SentencePiece and byte pairs of other towers."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

from rtd_adapters.clip.text.vocabulary import Vocabulary
from rtd_adapters.errors import BackboneError, RtdError, TripletError, UsageError, first_line

RESERVED = ("[unused0]", "<unused0>", "<extra_id_0>", "[MASK]", "<mask>")
"""Rows that no cleaned text comes to, for placeholders that the vocabulary has not, in order."""
TAKEN = ("pad", "unk", "bos", "eos", "cls", "sep")
"""Special tokens whose rows mean something, so that no placeholder may take them."""
KEPT = 1 << 16
"""Texts, and parts of prompts, whose ids are remembered."""
AGAIN = "Fetch its files again."
SHOWN = 60
"""Characters of a text in a message."""
STRIPPED = 0
"""What open_clip puts in the place of the token that ends a text, where it strips that."""


@contextmanager
def said_as(what: str, remedy: str) -> Iterator[None]:
    """Say whatever a tokenizer's library raises in a BackboneError, between what failed and what to
    do.

    Files of tokenizers are other people's data, and libraries fail on damaged ones as they like:
    one is written in Rust, whose panics are no Exception.
    """
    try:
        yield
    except BaseException as error:
        panic = type(error).__name__ == "PanicException"
        if not panic and (isinstance(error, RtdError) or not isinstance(error, Exception)):
            raise
        reason = first_line(error).rstrip(".")
        raise BackboneError(f"{what} ({reason}). {remedy}") from error


class HubVocabulary(Vocabulary):
    """A tokenizer of transformers, with what open_clip does before and after it.

    Args:
        tokenizer: of transformers; fast, or by SentencePiece's own library.
        name: where it comes from.
        clean: what is done to a text before it.
        strip_sep: whether the token that ends a text is replaced by 0 (CLIPA).
        rows: of the tower's table; as many as the tokenizer has ids by default.
        ends_largest: whether the tower reads a text at its largest id, so that placeholders must
            lie below the id that ends texts.

    Raises:
        BackboneError: it fails, cuts or pads texts on the left, or has no padding.
    """

    def __init__(
        self,
        tokenizer: Any,
        name: str,
        clean: Callable[[str], str] = str,
        strip_sep: bool = False,
        rows: int | None = None,
        ends_largest: bool = False,
    ) -> None:
        self.name = name
        self._tokenizer, self._clean, self._strip_sep = tokenizer, clean, strip_sep
        self._require_right_side()
        self._rows = rows or len(tokenizer)
        self.pad_id, self.size = tokenizer.pad_token_id, tokenizer.vocab_size
        self._read_ends()
        taken = (getattr(tokenizer, f"{token}_token_id") for token in TAKEN)
        self._taken = {*taken, *self._begin, *self._end}
        self.end_id = self._end[-1] if self._end else None
        bound = self.end_id if ends_largest else None
        self._below = self._rows if bound is None else min(self._rows, bound)
        added = tokenizer.get_added_vocab()
        reserved = (token for token in RESERVED if token in added)
        self.special_tokens = tuple({*map(str, tokenizer.all_special_tokens), *reserved})
        self._kept_ids = lru_cache(maxsize=KEPT)(self._text_ids)
        self._kept_words = lru_cache(maxsize=KEPT)(self._part_words)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the tokenizer's own file and of what is done before and after it."""
        digest = hashlib.sha256(self._definition)
        digest.update(f"{getattr(self._clean, '__name__', '')} {self._strip_sep}".encode())
        return digest.hexdigest()

    def ids(self, text: str, added_token: str | None = None) -> tuple[int, ...]:
        """As the backbone's own tokenizer gives them.

        Raises:
            TripletError: the text holds a special token that the tower has no row for.
            BackboneError: the tokenizer fails.
        """
        self._refuse(added_token)
        return self._kept_ids(text)

    def prompt_ids(
        self, prompt: str, placeholder: str, added_token: str | None = None
    ) -> tuple[int, ...]:
        """The parts of the prompt are tokenized one by one, as the words round a word would be, and
        placeholders are put between them as ids: cleaning rules such as SigLIP's delete signs.

        The space before a placeholder is part of it, as of a word. A sign that is glued behind it
        begins a word of its own where the vocabulary marks how words begin.
        """
        row = self.placeholder_id(placeholder, added_token)
        if placeholder not in prompt:
            return self._kept_ids(prompt)
        first, *others = prompt.split(placeholder)
        ids = [*self._begin, *self._kept_words(self._clean(first).rstrip())]
        for n, part in enumerate(others, start=1):
            behind = self._cleaned_behind(part)
            last = n == len(others)
            ids += [row, *self._kept_words(behind if last else behind.rstrip())]
        return (*ids, *self._end)

    def placeholder_id(self, placeholder: str, added_token: str | None = None) -> int:
        """The placeholder's own row where the vocabulary has one, or a reserved one."""
        self._refuse(added_token)
        for token in (placeholder, *RESERVED):
            row = self._tokenizer.convert_tokens_to_ids(token)
            if row is not None and row not in self._taken and 0 <= row < self._below:
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

    @property
    def _definition(self) -> bytes:
        """All that decides how texts are cut into tokens."""
        if (backend := getattr(self._tokenizer, "backend_tokenizer", None)) is not None:
            return str(backend.to_str()).encode()
        how = f"{type(self._tokenizer).__name__} {sorted(self._tokenizer.init_kwargs.items())}"
        return bytes(self._tokenizer.sp_model.serialized_model_proto()) + how.encode()

    def _require_right_side(self) -> None:
        for what in ("padding", "truncation"):
            if getattr(self._tokenizer, f"{what}_side") != "right":
                raise BackboneError(
                    f"The tokenizer of {self.name} has {what} on the left; rtd knows it on the "
                    f'right. If the model was trained so, write "{what}_side": "right" into '
                    "tokenizer_config.json."
                )
        if self._tokenizer.pad_token_id is None:
            raise BackboneError(
                f"The tokenizer of {self.name} has no padding token. Name it (pad_token) in "
                "tokenizer_config.json."
            )

    def _read_ends(self) -> None:
        """What begins and ends every text, read off one."""
        ids = self._encoded("a")
        with said_as(f"The tokenizer of {self.name} makes no token of a letter", AGAIN):
            mask = self._tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
            self.prefix, self.suffix = mask.index(0), mask[::-1].index(0)
        self._begin, self._end = ids[: self.prefix], ids[len(ids) - self.suffix :]
        # transformers builds a tokenizer that knows nothing where it misses a file.
        if {*ids[self.prefix : len(ids) - self.suffix]} == {self._tokenizer.unk_token_id}:
            raise BackboneError(
                f"The tokenizer of {self.name} does not know the letter a: it lacks the file with "
                f"its vocabulary. {AGAIN}"
            )

    def _text_ids(self, text: str) -> tuple[int, ...]:
        return self._encoded(self._clean(text))

    def _part_words(self, part: str) -> tuple[int, ...]:
        """A part of a prompt, cleaned, without what begins and ends a text."""
        if not part.strip():
            return ()
        ids = self._encoded(part)
        return ids[self.prefix : len(ids) - self.suffix]

    def _encoded(self, text: str) -> tuple[int, ...]:
        with said_as(f"The tokenizer of {self.name} fails on {text[:SHOWN]!r}", AGAIN):
            ids = self._tokenizer(text, verbose=False)["input_ids"]
        if self._strip_sep:
            end = self._tokenizer.sep_token_id
            ids = [STRIPPED if i == end else i for i in ids]
        if max(ids, default=0) >= self._rows:
            raise TripletError(
                f"The text {text[:SHOWN]!r} holds the special token "
                f"{self._tokenizer.convert_ids_to_tokens(max(ids))!r}, which the tower has no row "
                "for. Take it out."
            )
        return tuple(ids)

    def _cleaned_behind(self, part: str) -> str:
        """What follows a placeholder, cleaned as what follows a letter: its first space stays.

        No letter of Unicode is q with an accent, so no rule takes the q into what follows.
        """
        return self._clean(f"q{part}")[1:]

    def _refuse(self, added_token: str | None) -> None:
        if added_token is not None:
            raise UsageError(
                f"this method's token {added_token!r} takes a row of OpenAI's vocabulary, and the "
                f"backbone has that of {self.name}. Choose a method without a token of its own, "
                "such as searle, lincir or pic2word."
            )
