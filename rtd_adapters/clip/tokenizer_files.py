"""Tokenizers of transformers, from a folder, from Hugging Face's cache, or from the Hub.

They are somebody else's data: sizes are bounded, code that comes with them is never run, and
whatever a damaged one does to its library is said in one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtd_adapters.clip.hub import local_first
from rtd_adapters.errors import BackboneError, first_line

WANTED = "tokenizer.json and tokenizer_config.json"
"""What to fetch, for messages."""
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""Files of which one holds the tokens. Without any, transformers builds a tokenizer that knows
none, and says nothing."""
LARGEST = 1 << 28
"""Bytes of such a file; XLM-V's, the largest in use, has a quarter of it."""


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer of transformers."""
    return any((folder / name).is_file() for name in VOCABULARIES)


def load_tokenizer(source: str | Path) -> Any:
    """A tokenizer of transformers: fast, or by SentencePiece's own library.

    Args:
        source: a folder, or a name on the Hub, whose cached files come first.

    Raises:
        BackboneError: it is not there and cannot be fetched, is damaged, or brings code; what to
            download and where to put it is said.
    """
    if not Path(source).is_dir():
        return _from_hub(str(source))
    _require_files(Path(source))
    try:
        return _checked(_built(source, local_files_only=True))
    except Exception as error:  # transformers and tokenizers raise what they like
        raise BackboneError(
            f"The folder {source} has no tokenizer that loads ({_reason(error)}). Put {WANTED} of "
            "the model's repository there."
        ) from error


def _from_hub(name: str) -> Any:
    try:
        return _checked(local_first(lambda **where: _built(name, **where)))
    except Exception as error:
        raise BackboneError(
            f"The tokenizer {name} is not in Hugging Face's cache and cannot be fetched "
            f"({_reason(error)}). Download {WANTED} from the repository {name} and put them "
            "beside the weights file."
        ) from error


def _built(source: str | Path, **where: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, **where)
    except Exception:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of tokenizers, which is written in Rust
            raise
        raise ValueError(f"tokenizers panics: {first_line(error)}") from error


def _checked(tokenizer: Any) -> Any:
    if not (tokenizer.is_fast or hasattr(tokenizer, "sp_model")):
        raise ValueError(f"{type(tokenizer).__name__} is neither fast nor SentencePiece's")
    return tokenizer


def _require_files(folder: Path) -> None:
    found = [path for name in VOCABULARIES if (path := folder / name).is_file()]
    if not found:
        raise BackboneError(
            f"{folder} has no tokenizer. Put {WANTED} of the model's repository there."
        )
    for path in (*found, folder / "tokenizer_config.json"):
        if path.is_file() and (size := path.stat().st_size) > LARGEST:
            raise BackboneError(
                f"{path} has {size:,} bytes, more than rtd reads ({LARGEST:,}). Fetch it again."
            )


def _reason(error: Exception) -> str:
    return first_line(error).rstrip(".")
