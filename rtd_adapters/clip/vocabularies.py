"""The vocabulary of a backbone: that of the tokenizer its own library gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtd_adapters.clip.text import CLIP_BPE, Vocabulary
from rtd_adapters.clip.text.hub_vocabulary import HubVocabulary, load_tokenizer
from rtd_adapters.errors import BackboneError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "tokenizer.model")
"""One of which is where a tokenizer is."""
KNOWN_ARGUMENTS = ("clean", "strip_sep_token")
"""Of open_clip's `tokenizer_kwargs`."""


def open_clip_vocabulary(name: str, pretrained: str | None) -> Vocabulary:
    """The vocabulary of an open_clip model.

    Tokenizer files beside a weights file come first, as in a repository's folder; else those of the
    name in the model's config, from Hugging Face's cache or the network.

    Args:
        name: as open_clip knows the model.
        pretrained: a tag, or a weights file.

    Raises:
        BackboneError: the tokenizer is not there and cannot be fetched, or is used in a way that
            rtd does not know.
    """
    import open_clip
    from open_clip.tokenizer import get_clean_fn

    text: dict[str, Any] = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    source = text.get("hf_tokenizer_name", "")
    if not source and "siglip" not in name.lower():
        return CLIP_BPE
    arguments = text.get("tokenizer_kwargs") or {}
    unknown = [key for key in arguments if key not in KNOWN_ARGUMENTS]
    if unknown or text.get("tokenizer_mode") or not source:
        what = unknown[0] if unknown else "tokenizer_mode" if source else "a SigLIP without a name"
        raise BackboneError(
            f"{name} uses its tokenizer in a way rtd does not know ({what}). Name its tokenizer in "
            f"a model config (hf_tokenizer_name), with {' and '.join(KNOWN_ARGUMENTS)} only."
        )
    folder = _tokenizer_folder(pretrained)
    return HubVocabulary(
        load_tokenizer(folder or source, local=folder is not None),
        source,
        get_clean_fn(arguments.get("clean", "whitespace")),
        bool(arguments.get("strip_sep_token")),
    )


def folder_vocabulary(folder: Path, vocab_size: int) -> Vocabulary:
    """The vocabulary of a transformers folder: OpenAI's byte pairs, where it is of their size and
    brings no tokenizer.

    Raises:
        BackboneError: it has another, and no tokenizer in the folder.
    """
    if not has_tokenizer(folder):
        if vocab_size == CLIP_BPE.size:
            return CLIP_BPE
        raise BackboneError(
            f"{folder} has no tokenizer. Put tokenizer.json and tokenizer_config.json of the "
            "model's repository there."
        )
    tokenizer = load_tokenizer(folder, local=True)
    if type(tokenizer).__name__.startswith("CLIPTokenizer"):
        return CLIP_BPE
    return HubVocabulary(tokenizer, str(folder))


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer of transformers."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def _tokenizer_folder(pretrained: str | None) -> Path | None:
    if pretrained is None or not Path(pretrained).is_file():
        return None
    folder = Path(pretrained).resolve().parent
    return folder if has_tokenizer(folder) else None
