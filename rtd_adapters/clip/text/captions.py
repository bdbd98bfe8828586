"""What is done to the texts of a triplet before they are tokenized."""

from __future__ import annotations

from rtd_adapters.clip.text.tokenizer import Tokenizer


def clean_caption(text: str | None, tokenizer: Tokenizer) -> str:
    """A reference or target caption as the official RTD code reads it.

    None is empty, `<PERSON>` (of Conceptual Captions) becomes person, everything is lower case,
    placeholders go, and what is too long keeps the words of its first context_length - 2 tokens.
    Special tokens go too, which is ours.
    """
    person = (text or "").replace("<PERSON>", "person")
    return tokenizer.shorten(tokenizer.clean(person.lower()).strip())


def clean_conditioning(text: str, tokenizer: Tokenizer) -> str:
    """A conditioning text without placeholders and special tokens, stripped; nothing else.

    This is ours. The official code leaves it raw, so that a price ("$5") in it is replaced by a
    second pseudo token.
    """
    return tokenizer.clean(text).strip()
