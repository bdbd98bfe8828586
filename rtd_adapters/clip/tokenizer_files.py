"""Tokenizers of transformers, from a folder, from Hugging Face's cache, or from the Hub.

They are somebody else's data: sizes are bounded, code that comes with them is never run, and
whatever a damaged one does to its library is said in one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtd_adapters.clip.text.hub_vocabulary import said_as
from rtd_adapters.errors import BackboneError, FileError
from rtd_adapters.io.hub import local_first
from rtd_adapters.io.json_files import read_json

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
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
TOKEN_KEYS = ("content", "additional_special_tokens", "extra_special_tokens")
"""Under which tokens stand, beside keys that end in _token."""
MOST_TOKENS = 1 << 24
"""Of a vocabulary; XLM-V, the largest in use, has nine hundred thousand."""
MOST = {"extra_ids": 10_000, "id": MOST_TOKENS}
"""Of whole numbers, by the key that they stand under."""
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
        BackboneError: it is not there and cannot be fetched, does not load, or brings code; what to
            download and where to put it is said.
        FileError: a file of a folder is damaged.
    """
    if not Path(source).is_dir():
        return _from_hub(str(source))
    _require_files(Path(source))
    remedy = f"Put {WANTED} of the model's repository there."
    with said_as(f"The folder {source} has no tokenizer that loads", remedy):
        return _built(source, local_files_only=True)


def _from_hub(name: str) -> Any:
    what = f"The tokenizer {name} is not in Hugging Face's cache and cannot be fetched"
    remedy = f"Download {WANTED} from the repository {name} and put them beside the weights file."
    with said_as(what, remedy):
        return local_first(lambda **where: _built(name, **where))


def _built(source: str | Path, **where: bool) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, **where)
    if not (tokenizer.is_fast or hasattr(tokenizer, "sp_model")):
        raise ValueError(f"{type(tokenizer).__name__} is neither fast nor SentencePiece's")
    return tokenizer


def _require_files(folder: Path) -> None:
    found = [path for name in VOCABULARIES if (path := folder / name).is_file()]
    if not found:
        raise BackboneError(
            f"{folder} has no tokenizer. Put {WANTED} of the model's repository there."
        )
    for path in found:
        if (size := path.stat().st_size) > LARGEST:
            raise BackboneError(
                f"{path} has {size:,} bytes, more than rtd reads ({LARGEST:,}). Fetch it again."
            )
    for name in SETTINGS:
        if (path := folder / name).is_file():
            _require_sound(read_json(path, largest=LARGEST), path)
    if (path := folder / "tokenizer.json").is_file():
        values = read_json(path, largest=LARGEST)
        parts = values if isinstance(values, dict) else {}
        _require_sound(parts.get("added_tokens"), path)
        model = parts.get("model")
        _require_ids(model.get("vocab") if isinstance(model, dict) else None, path)
    if (path := folder / "vocab.json").is_file():
        _require_ids(read_json(path, largest=LARGEST), path)


def _require_ids(vocabulary: Any, path: Path) -> None:
    """Refuse an id that no vocabulary reaches: libraries walk through all below it."""
    if not isinstance(vocabulary, dict):
        return
    most = max((i for i in vocabulary.values() if type(i) is int), default=0)
    if most > MOST_TOKENS:
        raise FileError(
            f"{path} has a token with the id {most:,}; rtd reads ids up to {MOST_TOKENS:,}. Fetch "
            "the file again."
        )


def _require_sound(value: Any, path: Path, key: str = "") -> None:
    """Refuse what sends a library round in circles: an empty token is found at every place of a
    text, and a count of thousands of millions fills all memory."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _require_sound(inner, path, str(name))
    elif isinstance(value, list):
        for inner in value:
            _require_sound(inner, path, key)
    elif value == "" and (key in TOKEN_KEYS or key.endswith("_token")):
        raise FileError(f"{path} has an empty token ({key}). Fetch the file again.")
    elif type(value) is int and value > MOST.get(key, value):
        raise FileError(
            f"{path}: {key} is {value:,}; rtd reads up to {MOST[key]:,}. Fetch it again."
        )
