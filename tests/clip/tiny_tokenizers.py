"""Tokenizers of every kind that text towers have, small, trained on a page, made without network.

Each is written as its repository has it: `tokenizer.json`, and `tokenizer_config.json` with the
class that transformers is to build. Special tokens have the ids of the real ones.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

WORDS = (
    "a photo of the dog that is red and has two small stars on its dark wall with green circles "
    "cat big blue square number shirt dress shorter sleeves more fewer people same scene but "
    "black white animal next to standing in front from above price café naïve über 東京 привет"
)
CORPUS = [
    WORDS,
    WORDS.upper(),
    WORDS.title(),
    string.printable,
    "it's 5$, isn't it? #1 @home *",
] * 20
SIZE = 600
SPACE = "▁"


def bert(folder: Path) -> Path:
    """WordPiece, lower case, [CLS] .. [SEP], pad 0: bert-base-uncased (CLIPA, BLIP, BLIP-2)."""
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    _train(tokenizer, trainers.WordPieceTrainer, special)
    _ends(tokenizer, "[CLS]", "[SEP]")
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return _written(tokenizer, folder, "BertTokenizer", names, do_lower_case=True)


def t5(folder: Path) -> Path:
    """SentencePiece, .. </s>, pad </s>: what open_clip gives SigLIP."""
    tokenizer = _sentence_pieces(["<pad>", "</s>", "<unk>"])
    _ends(tokenizer, None, "</s>")
    names = {"pad": "</s>", "eos": "</s>", "unk": "<unk>"}
    return _written(tokenizer, folder, "T5Tokenizer", names, extra_ids=0)


def mt5(folder: Path) -> Path:
    """SentencePiece, .. </s>, pad 0, further ids at the end: google/mt5-base."""
    tokenizer = _sentence_pieces(["<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([f"<extra_id_{n}>" for n in reversed(range(100))])
    _ends(tokenizer, None, "</s>")
    names = {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
    return _written(tokenizer, folder, "T5Tokenizer", names, extra_ids=100)


def xlm(folder: Path) -> Path:
    """SentencePiece, <s> .. </s>, pad 1: facebook/xlm-v-base, xlm-roberta-base."""
    tokenizer = _sentence_pieces(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens(["<mask>"])
    _ends(tokenizer, "<s>", "</s>")
    names = {"bos": "<s>", "cls": "<s>", "pad": "<pad>", "eos": "</s>", "sep": "</s>"}
    names |= {"unk": "<unk>", "mask": "<mask>"}
    return _written(tokenizer, folder, "XLMRobertaTokenizer", names)


def gemma(folder: Path, name: str = "GemmaTokenizer") -> Path:
    """Byte pairs that fall back on bytes, .. <eos>, pad 0: SigLIP 2."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<unused0>"]
    bytes_ = [f"<0x{n:02X}>" for n in range(256)]
    learned = Tokenizer(models.BPE())
    learned.normalizer = normalizers.Replace(" ", SPACE)
    learned.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    _train(learned, trainers.BpeTrainer, [*special, *bytes_], 256 + SIZE)
    model = json.loads(learned.to_str())["model"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(model["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.add_special_tokens(special)
    lower = normalizers.Lowercase()
    tokenizer.normalizer = normalizers.Sequence([lower, normalizers.Replace(" ", SPACE)])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    undone = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(undone)
    _ends(tokenizer, None, "<eos>")
    names = {"pad": "<pad>", "eos": "<eos>", "bos": "<bos>", "unk": "<unk>", "mask": "<mask>"}
    ends = {"add_bos_token": False, "add_eos_token": True, "padding_side": "right"}
    return _written(tokenizer, folder, name, names, **ends)


def siglip2(folder: Path) -> Path:
    """The same, under the name that transformers has for it."""
    return gemma(folder, "Siglip2Tokenizer")


def roberta(folder: Path) -> Path:
    """Byte pairs of bytes, <s> .. </s>, pad 1: roberta-base."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _train(tokenizer, trainers.BpeTrainer, special, initial_alphabet=alphabet)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    names = {"bos": "<s>", "cls": "<s>", "pad": "<pad>", "eos": "</s>", "sep": "</s>"}
    names |= {"unk": "<unk>", "mask": "<mask>"}
    return _written(tokenizer, folder, "RobertaTokenizer", names)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "bert": bert,
    "t5": t5,
    "mt5": mt5,
    "xlm": xlm,
    "gemma": gemma,
    "siglip2": siglip2,
    "roberta": roberta,
}


def size(folder: Path) -> int:
    """Rows that a table of tokens needs."""
    return Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()


def _sentence_pieces(special: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("  ", " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, "always")]
    )
    tokenizer.decoder = decoders.Metaspace(SPACE, "always")
    _train(tokenizer, trainers.UnigramTrainer, special, unk_token="<unk>")
    return tokenizer


def _train(
    tokenizer: Tokenizer, trainer: type, special: Sequence[str], vocab_size: int = SIZE, **more
) -> None:
    how = trainer(vocab_size=vocab_size, special_tokens=list(special), show_progress=False, **more)
    tokenizer.train_from_iterator(CORPUS, how)


def _ends(tokenizer: Tokenizer, first: str | None, last: str) -> None:
    template = " ".join(filter(None, (first, "$A", last)))
    special = [(name, tokenizer.token_to_id(name)) for name in (first, last) if name]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, pair=f"{template} $B:1 {last}:1", special_tokens=special
    )


def _written(
    tokenizer: Tokenizer, folder: Path, kind: str, names: dict[str, str], **more: object
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {f"{name}_token": token for name, token in names.items()}
    config = {"tokenizer_class": kind, "clean_up_tokenization_spaces": False, **tokens, **more}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
