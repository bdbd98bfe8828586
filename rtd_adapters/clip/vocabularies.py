"""The vocabulary of a backbone: that of the tokenizer its own library gives it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from rtd_adapters.clip.text import CLIP_BPE, TowerConfig, Vocabulary
from rtd_adapters.clip.text.hub_vocabulary import HubVocabulary
from rtd_adapters.clip.tokenizer_files import has_tokenizer, load_tokenizer
from rtd_adapters.errors import BackboneError

KNOWN_ARGUMENTS = ("clean", "strip_sep_token")
"""Of open_clip's `tokenizer_kwargs`."""
DEFAULT_LENGTH = 77
"""Tokens that open_clip's tokenizers read where a config says nothing."""
CLEANING = ("whitespace", "lower", "canonicalize")
"""Of open_clip's `clean`."""


def open_clip_vocabulary(name: str, pretrained: str | None, config: TowerConfig) -> Vocabulary:
    """The vocabulary of an open_clip model.

    Tokenizer files beside a weights file come first, as in a repository's folder; else those of the
    name in the model's config, from Hugging Face's cache or the network.

    Args:
        name: as open_clip knows the model.
        pretrained: a tag, or a weights file.
        config: of its text tower.

    Raises:
        BackboneError: the tokenizer is not there and cannot be fetched, is used in a way that rtd
            does not know, or makes ids that the tower does not take.
    """
    import open_clip
    from open_clip.tokenizer import get_clean_fn

    text: dict[str, Any] = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    source = text.get("hf_tokenizer_name", "")
    if not source and "siglip" not in name.lower():
        return _fitting(CLIP_BPE, config, name)
    arguments = text.get("tokenizer_kwargs") or {}
    if use := _unknown_use(text, arguments, config):
        raise BackboneError(
            f"{name} uses its tokenizer in a way rtd does not know ({use}). Name its tokenizer in "
            f"a model config (hf_tokenizer_name), with {' and '.join(KNOWN_ARGUMENTS)} only; clean "
            f"is one of {', '.join(CLEANING)}."
        )
    place = str(_tokenizer_folder(pretrained) or source)
    return _hub_vocabulary(
        load_tokenizer(place),
        place,
        config,
        clean=get_clean_fn(arguments.get("clean", CLEANING[0])),
        strip_sep=bool(arguments.get("strip_sep_token")),
    )


def folder_vocabulary(folder: Path, config: TowerConfig) -> Vocabulary:
    """The vocabulary of a transformers folder: OpenAI's byte pairs, where it brings those or, for a
    table of their size, no tokenizer.

    Args:
        folder: of a model.
        config: of its text tower.

    Raises:
        BackboneError: it has another, and no tokenizer in the folder that loads and fits.
    """
    if not has_tokenizer(folder) and config.vocab_size == CLIP_BPE.size:
        return _fitting(CLIP_BPE, config, str(folder))
    tokenizer = load_tokenizer(folder)
    if type(tokenizer).__name__.startswith("CLIPTokenizer") and _is_openai(tokenizer):
        return _fitting(CLIP_BPE, config, str(folder))
    return _hub_vocabulary(tokenizer, str(folder), config)


def _hub_vocabulary(tokenizer: Any, name: str, config: TowerConfig, **how: Any) -> Vocabulary:
    build = partial(HubVocabulary, rows=config.vocab_size, ends_largest=config.pooling == "argmax")
    return _fitting(build(tokenizer, name, **how), config, name)


def _unknown_use(text: dict[str, Any], arguments: dict[str, Any], config: TowerConfig) -> str:
    """What open_clip does with a tokenizer that rtd does not; empty where there is nothing."""
    if not text.get("hf_tokenizer_name"):
        return "a SigLIP without hf_tokenizer_name"
    if text.get("tokenizer_mode"):
        return f"tokenizer_mode {text['tokenizer_mode']}"
    if (length := text.get("context_length", DEFAULT_LENGTH)) != config.context_length:
        return f"context_length {length} where the tower reads {config.context_length}"
    if unknown := [key for key in arguments if key not in KNOWN_ARGUMENTS]:
        return unknown[0]
    clean = arguments.get("clean", CLEANING[0])
    return "" if clean in CLEANING else f"clean {clean}"


def _fitting(vocabulary: Vocabulary, config: TowerConfig, name: str) -> Vocabulary:
    """The vocabulary, if the tower takes the ids that it makes.

    Raises:
        BackboneError: it does not; both ids are named.
    """
    end, pad = vocabulary.end_id, vocabulary.pad_id
    wrong = None
    if vocabulary.size > config.vocab_size or pad >= config.vocab_size:
        wrong = f"has {vocabulary.size:,} tokens, and the tower rows for {config.vocab_size:,}"
    elif config.pooling == "eos" and end != config.eos_id:
        wrong = f"ends texts with token {end}, and the tower looks for {config.eos_id}"
    elif config.pooling == "argmax" and (end is None or end < vocabulary.size - 1):
        wrong = f"ends texts with token {end}, and the tower looks for the largest of all"
    elif config.pooling == "first" and not vocabulary.prefix:
        wrong = "begins texts with no token of its own, and the tower reads the first one"
    elif config.pad_id is not None and pad != config.pad_id:
        wrong = f"pads texts with token {pad}, and the tower looks for {config.pad_id}"
    if wrong is not None:
        raise BackboneError(
            f"The tokenizer of {name} {wrong}. They are not of one model: use the model's own "
            "tokenizer."
        )
    return vocabulary


def _is_openai(tokenizer: Any) -> bool:
    """Whether a CLIPTokenizer has OpenAI's tokens, two of which have another name in open_clip."""
    from open_clip.tokenizer import SimpleTokenizer

    ours = SimpleTokenizer().encoder
    theirs = tokenizer.get_vocab()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    return all(theirs.get(names.get(token, token)) == i for token, i in ours.items())


def _tokenizer_folder(pretrained: str | None) -> Path | None:
    if pretrained is None or not Path(pretrained).is_file():
        return None
    folder = Path(pretrained).resolve().parent
    return folder if has_tokenizer(folder) else None
