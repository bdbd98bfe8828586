"""OpenAI's byte pairs as a file of Hugging Face's `tokenizers`, which needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtd_adapters.clip.text import CLIP_BPE, Tokenizer

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""open_clip's, as CLIP's tokenizer in transformers has it."""


def can_be_written(tokenizer: Tokenizer) -> bool:
    """Whether a method's tokenizer is OpenAI's byte pairs alone, without a token of its own."""
    return tokenizer.vocabulary is CLIP_BPE and tokenizer.added_token is None


def write_tokenizer(path: Path, tokenizer: Tokenizer) -> None:
    """Write `tokenizer.json`: it cuts and pads to the context length, and gives what
    `Tokenizer.encode` gives of printable ASCII without "&".

    Other texts are repaired first by open_clip (ftfy, HTML), which no such file can do: it gives
    the same of those that need no repair.
    """
    from open_clip.tokenizer import SimpleTokenizer
    from tokenizers import Regex, Tokenizer as Fast, models, normalizers, pre_tokenizers, processors

    pairs: Any = SimpleTokenizer()
    fast = Fast(models.BPE(pairs.encoder, list(pairs.bpe_ranks), end_of_word_suffix="</w>"))
    fast.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    ends = [(pairs.decoder[i], i) for i in (pairs.sot_token_id, pairs.eot_token_id)]
    (begin, _), (end, _) = ends
    fast.post_processor = processors.TemplateProcessing(f"{begin} $A {end}", None, ends)
    pad, length = tokenizer.vocabulary.pad_id, tokenizer.context_length
    fast.enable_truncation(length)
    fast.enable_padding(length=length, pad_id=pad, pad_token=pairs.decoder[pad])
    path.write_text(fast.to_str(), encoding="utf-8")
