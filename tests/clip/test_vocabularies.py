"""Vocabularies of other towers: the libraries' own ids, placeholders between them, misfits."""

from __future__ import annotations

import io
import json
import re

import open_clip
import pytest
import tiny_tokenizers
import torch
from hypothesis import given, settings, strategies as st
from open_clip.tokenizer import HFTokenizer, get_clean_fn
from transformers import AutoTokenizer

from rtd_adapters.clip.text import CLIP_BPE, Tokenizer, TowerConfig, clean_caption
from rtd_adapters.clip.text.captions import clean_conditioning
from rtd_adapters.clip.text.hub_vocabulary import RESERVED, HubVocabulary
from rtd_adapters.clip.tokenizer_files import load_tokenizer
from rtd_adapters.clip.vocabularies import folder_vocabulary, open_clip_vocabulary
from rtd_adapters.errors import BackboneError, TripletError, UsageError

LENGTH = 16
KINDS = [*tiny_tokenizers.MAKERS, "siglip"]
FAST = list(tiny_tokenizers.MAKERS)
CLEANING = ("whitespace", "lower", "canonicalize")
WORDS = st.sampled_from(
    [
        "a",
        "the",
        "dog,",
        "red-ish",
        "5$",
        "*",
        "#",
        "it's",
        "café",
        "ñ",
        "東京",
        "🐶",
        "&amp;",
        "&#36;",
        "\uff04",
        "</s>",
        "<mask>",
        "[SEP]",
        "_x_",
        "\u200bzero",
        "ﬁne",
        "\t\n",
        "over",
    ]
)
TEXTS = st.lists(st.one_of(WORDS, st.text(max_size=8)), max_size=24).map(" ".join)
SOBER = st.lists(
    st.sampled_from(
        ["a", "the", "dog,", "red-ish", "it's", "café", "big\xa0tea", "photo", "of", "2", "东京"]
    ),
    max_size=6,
).map(" ".join)
pytestmark = pytest.mark.filterwarnings("ignore:A text of", "ignore:This sequence already")
LINE = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a tokenizer of a kind, written once."""
    root, written = tmp_path_factory.mktemp("tokenizers"), {}

    def make(kind):
        if kind not in written:
            written[kind] = sentence_piece(root) if kind == "siglip" else None
            written[kind] = written[kind] or tiny_tokenizers.MAKERS[kind](root / kind)
        return written[kind]

    return make


def sentence_piece(root):
    """SigLIP's tokenizer in transformers, which has no fast one and needs SentencePiece itself."""
    spm = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(tiny_tokenizers.CORPUS * 3),
        model_writer=model,
        vocab_size=200,
        hard_vocab_limit=False,
        **{"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "minloglevel": 2},
    )
    folder = root / "siglip"
    folder.mkdir()
    (folder / "spiece.model").write_bytes(model.getvalue())
    tokens = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "SiglipTokenizer", **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def vocabulary(folder):
    """The vocabulary of a kind."""
    made = {}

    def make(kind, **how):
        key = (kind, *sorted(how.items()))
        if key not in made:
            if "clean" in how:
                how["clean"] = get_clean_fn(how["clean"])
            made[key] = HubVocabulary(load_tokenizer(folder(kind)), kind, **how)
        return made[key]

    return make


@pytest.fixture(scope="session")
def theirs(folder):
    """transformers' own tokenizer of a kind."""
    made = {}

    def make(kind):
        if kind not in made:
            made[kind] = AutoTokenizer.from_pretrained(str(folder(kind)))
        return made[kind]

    return make


# The libraries' own ids


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_transformers(kind, vocabulary, theirs):
    ours = Tokenizer(LENGTH, vocabulary=vocabulary(kind))

    @LINE
    @given(st.lists(TEXTS, min_size=1, max_size=4))
    def same(texts):
        how = {"padding": "max_length", "truncation": True, "max_length": LENGTH}
        expected = theirs(kind)(texts, return_tensors="pt", **how)["input_ids"]
        assert torch.equal(ours.encode(texts), expected)

    same()


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("clean", CLEANING)
def test_ids_are_those_of_open_clip(kind, clean, folder, vocabulary):
    theirs = HFTokenizer(str(folder(kind)), context_length=LENGTH, clean=clean)
    ours = Tokenizer(LENGTH, vocabulary=vocabulary(kind, clean=clean))

    @LINE
    @given(st.lists(TEXTS, min_size=1, max_size=4))
    def same(texts):
        assert torch.equal(ours.encode(texts), theirs(texts))

    same()


def test_clipa_has_its_end_of_text_stripped(folder, vocabulary):
    how = {"clean": "whitespace", "strip_sep": True}
    theirs = HFTokenizer(str(folder("bert")), context_length=LENGTH, strip_sep_token=True)
    ours = Tokenizer(LENGTH, "$", vocabulary=vocabulary("bert", **how))

    @LINE
    @given(st.lists(TEXTS, min_size=1, max_size=4))
    def same(texts):
        assert torch.equal(ours.encode(texts), theirs(texts))

    same()
    prompt = ours.encode_prompts(["a photo of $ that is red"])
    word = theirs(["a photo of dog that is red"])
    assert (prompt != word).sum() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_overlong_texts_keep_what_ends_them_and_are_counted(kind, vocabulary):
    ours = Tokenizer(LENGTH, vocabulary=vocabulary(kind))
    with pytest.warns(UserWarning, match="cut to 16"):
        ids = ours.encode(["a photo of the dog " * 9])[0].tolist()
    whole = vocabulary(kind).ids("a photo of the dog " * 9)
    assert ids[: LENGTH - 1] == list(whole[: LENGTH - 1])
    assert ids[-1] == whole[-1] == vocabulary(kind).end_id
    assert ours.truncated == 1
    assert ours.lengths(["a " * 99, "dog"]) == [LENGTH, len(vocabulary(kind).ids("dog"))]


@pytest.mark.parametrize("kind", KINDS)
def test_shortened_captions_are_the_words_that_fit(kind, vocabulary):
    ours = Tokenizer(LENGTH, "$", vocabulary=vocabulary(kind))
    caption = "a photo of the big dog, it's red and has two small stars on its dark wall"
    with pytest.warns(UserWarning, match="cut to 16"):
        short = clean_caption(caption, ours)
    assert 0 < len(short) < len(caption)
    assert ours.lengths([short])[0] <= LENGTH
    assert clean_caption(short, ours) == short


# Placeholders

WAYS = [None, *CLEANING]
SHAPES = ("a photo of $ that is red", "$", "$ is red", "a red $", "of $ and $ with $ or")


def cleaned(clean):
    return {"clean": clean} if clean else {}


@pytest.mark.parametrize("clean", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_round_placeholders_is_tokenized_as_round_words(kind, clean, vocabulary):
    """With the tokens of a word in the placeholders' place, prompts are the libraries' own ids."""
    known = vocabulary(kind, **cleaned(clean))
    row, word = known.placeholder_id("$"), known.ids("a dog")[len(known.ids("a")) - known.suffix :]
    word = word[: len(word) - known.suffix]

    @LINE
    @given(st.lists(SOBER, min_size=2, max_size=4))
    def same(parts):
        prompt = re.sub(" +", " ", " $ ".join(["a", *parts])).strip()
        ids = known.prompt_ids(prompt, "$")
        assert ids.count(row) == len(parts)
        filled = [token for i in ids for token in (word if i == row else [i])]
        assert filled == list(known.ids(prompt.replace("$", "dog")))

    same()


@pytest.mark.parametrize("kind", ["bert", "gemma", "siglip2", "roberta"])
@pytest.mark.parametrize("prompt", ["a red-$ is", "the $, red", "a ($) is", "it's $'s dog"])
def test_signs_may_be_glued_to_a_placeholder(kind, prompt, vocabulary):
    known = vocabulary(kind)
    spaced = [char for char in prompt.replace("$", "") if char != " "]
    ids = known.prompt_ids(prompt, "$")
    at = ids.index(known.placeholder_id("$"))
    parts = [
        known._tokenizer.decode(list(p), skip_special_tokens=True)
        for p in (ids[:at], ids[at + 1 :])
    ]
    assert [char for part in parts for char in part if char != " "] == spaced
    assert not parts[0].endswith(" ")


RESERVED_FOR = {
    "bert": "[unused0]",
    "mt5": "<extra_id_0>",
    "xlm": "<mask>",
    "gemma": "<unused0>",
    "siglip2": "<unused0>",
    "roberta": "<mask>",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_placeholder_has_its_own_row_or_a_reserved_one(kind, vocabulary, theirs):
    known, own = vocabulary(kind), theirs(kind).convert_tokens_to_ids
    meant = {own(str(token)) for token in theirs(kind).special_tokens_map.values()}
    for sign in "$*":
        assert known.placeholder_id(sign) == own(sign) not in meant
    if kind not in RESERVED_FOR:
        with pytest.raises(UsageError, match=f"{kind} has no row .*<|replace|>.*{RESERVED[0]}"):
            known.placeholder_id("<|replace|>")
        return
    row = own(RESERVED_FOR[kind])
    assert known.placeholder_id("<|replace|>") == row not in {known.pad_id, known.end_id}
    assert known.prompt_ids("a <|replace|> is", "<|replace|>").count(row) == 1
    assert row not in known.ids(Tokenizer(LENGTH, vocabulary=known).clean(" ".join(RESERVED)))


@pytest.mark.parametrize("kind", ["bert", "roberta", "gemma"])
def test_no_placeholder_takes_a_row_that_means_something(kind, vocabulary, theirs):
    tokens = {name: str(token) for name, token in theirs(kind).special_tokens_map.items()}
    assert {"pad_token", "unk_token"} < tokens.keys()
    for name, spelling in tokens.items():
        row = theirs(kind).convert_tokens_to_ids(spelling)
        assert (vocabulary(kind).placeholder_id(spelling) == row) == (name == "mask_token")


def test_a_placeholder_lies_inside_the_towers_table_and_below_its_largest_id(folder, theirs):
    tokenizer, own = load_tokenizer(folder("xlm")), theirs("xlm").convert_tokens_to_ids
    assert HubVocabulary(tokenizer, "x").placeholder_id("none") == own("<mask>")
    for how in ({"rows": own("<mask>")}, {"ends_largest": True}):
        with pytest.raises(UsageError, match="no row"):
            HubVocabulary(tokenizer, "x", **how).placeholder_id("none")


@pytest.mark.parametrize("clean", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_placeholders_in_captions_and_conditions_are_cleaned_away(kind, clean, vocabulary):
    known = vocabulary(kind, **cleaned(clean))
    ours = Tokenizer(64, "$", vocabulary=known)
    for text in (
        "costs 5$",
        "costs 5&#36; now",
        "\uff04 is $\ufe69",
        "&amp;#36; [MASK] <mask> </s>",
    ):
        for made in (clean_caption(text, ours), clean_conditioning(text, ours)):
            ids = ours.encode_prompts([f"a photo of $ that {made}"])
            assert (ids == ours.placeholder_id).sum() == 1
            words = known.ids(made)
            assert ours.placeholder_id not in words
            assert words.count(known.end_id) == 1


def test_a_prompt_that_loses_its_placeholder_says_so(vocabulary):
    ours = Tokenizer(8, "$", vocabulary=vocabulary("gemma"))
    with (
        pytest.warns(UserWarning, match="cut to 8"),
        pytest.raises(TripletError, match="longer than 8 tokens and lost its placeholder"),
    ):
        ours.encode_prompts(["a photo of the big red dog and of the $"])
    with pytest.raises(TripletError, match="has 2 placeholders"):
        ours.encode_prompts(["$ and $"])
    with pytest.raises(TripletError, match="needs 1 placeholder"):
        ours.encode_prompts(["a dog"])


# Vocabularies and towers


def tower(vocab_size, **more):
    sizes = {"width": 32, "layers": 1, "heads": 2, "embed_dim": 8, "activation": "gelu"}
    return TowerConfig(**sizes, vocab_size=vocab_size, context_length=LENGTH, **more)


FITTING = [
    ("bert", {"mask": "padding", "pad_id": 0, "pooling": "first"}),
    ("bert", {"mask": "none", "pooling": "last"}),
    ("xlm", {"pooling": "eos", "eos_id": 2}),
    ("mt5", {"pooling": "eos", "eos_id": 1}),
    ("roberta", {"mask": "padding", "pad_id": 1, "pooling": "mean"}),
    ("siglip2", {"mask": "none", "pooling": "last"}),
    ("t5", {"mask": "none", "pooling": "last"}),
]


@pytest.mark.parametrize(("kind", "build"), FITTING)
def test_a_folders_own_tokenizer_fits_its_tower(kind, build, folder, theirs):
    size = tiny_tokenizers.size(folder(kind))
    for rows in (size, size + 100):
        made = folder_vocabulary(folder(kind), tower(rows, **build))
        assert list(made.ids("a red dog")) == theirs(kind)("a red dog")["input_ids"]


MISFITS = [
    ("bert", {"mask": "none", "pooling": "last"}, -1, "has 297 tokens, and the tower rows for 296"),
    (
        "xlm",
        {"pooling": "eos", "eos_id": 1},
        0,
        "ends texts with token 2, and the tower looks for 1",
    ),
    ("bert", {"mask": "padding", "pad_id": 1, "pooling": "first"}, 0, "pads .* 0, .* looks for 1"),
    ("mt5", {"mask": "padding", "pad_id": 0, "pooling": "first"}, 0, "begins texts with no token"),
    ("roberta", {}, 0, "ends texts with token 2, and the tower looks for the largest of all"),
]


@pytest.mark.parametrize(("kind", "build", "fewer", "words"), MISFITS)
def test_a_tokenizer_of_another_model_is_refused(kind, build, fewer, words, folder):
    size = tiny_tokenizers.size(folder(kind)) + fewer
    with pytest.raises(BackboneError, match=f"{words}.*use the model's own tokenizer"):
        folder_vocabulary(folder(kind), tower(size, **build))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        ({"vocab_size": 100}, "has 49,408 tokens, and the tower rows for 100"),
        ({"pooling": "eos", "eos_id": 2}, "ends texts with token 49407, and the tower looks for 2"),
    ],
)
def test_openais_byte_pairs_must_fit_too(build, words):
    config = tower(**{"vocab_size": 49408} | build)
    with pytest.raises(BackboneError, match=words):
        open_clip_vocabulary("ViT-B-32", None, config)
    assert open_clip_vocabulary("ViT-B-32", None, tower(49408)) is CLIP_BPE


def test_special_tokens_above_the_towers_table_are_told_in_a_text(tmp_path, folder, theirs):
    """SigLIP's table has no rows for the hundred tokens that T5's tokenizer adds."""
    config = json.loads((folder("t5") / "tokenizer_config.json").read_text())
    del config["extra_ids"]
    copied(folder("t5"), tmp_path, config)
    size = tiny_tokenizers.size(folder("t5"))
    made = folder_vocabulary(tmp_path, tower(size, mask="none", pooling="last"))
    assert list(made.ids("a red dog")) == theirs("t5")("a red dog")["input_ids"]
    with pytest.raises(TripletError, match="'see <extra_id_7>' holds the special token"):
        made.ids("see <extra_id_7>")
    ours = Tokenizer(LENGTH, "$", vocabulary=made)
    assert ours.clean("see <extra_id_7>") == "see "
    with pytest.raises(UsageError, match="no row"):
        made.placeholder_id("<|replace|>")


def copied(folder, target, config):
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    (target / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"padding_side": "left"}, 'padding on the left.*"padding_side": "right"'),
        ({"truncation_side": "left"}, "truncation on the left"),
        ({"pad_token": None}, "no padding token"),
    ],
)
def test_a_tokenizer_used_in_another_way_is_refused(change, words, folder, tmp_path):
    config = json.loads((folder("roberta") / "tokenizer_config.json").read_text())
    copied(
        folder("roberta"),
        tmp_path,
        {**config, "tokenizer_class": "PreTrainedTokenizerFast"} | change,
    )
    with pytest.raises(BackboneError, match=words):
        folder_vocabulary(tmp_path, tower(700, mask="padding", pad_id=1, pooling="first"))


# open_clip's configs


@pytest.fixture
def config_named(tmp_path):
    """Makes an open_clip config known, whose text_cfg is given."""

    def make(name, **text):
        sizes = {"context_length": LENGTH, "vocab_size": 900, "width": 32, "heads": 2, "layers": 1}
        vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
        config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": sizes | text}
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path / f"{name}.json")
        return name

    return make


LAST = {"mask": "none", "pooling": "last"}


def test_tokenizer_files_beside_the_weights_come_first(config_named, folder, tmp_path):
    name = config_named("voc-beside", hf_tokenizer_name="nobody/nowhere")
    beside = tiny_tokenizers.gemma(tmp_path / "weights")
    (beside / "model.pt").touch()
    made = open_clip_vocabulary(name, str(beside / "model.pt"), tower(900, **LAST))
    named = config_named("voc-named", hf_tokenizer_name=str(folder("bert")))
    other = open_clip_vocabulary(named, None, tower(900, **LAST))
    assert made.ids("a red dog")[-1] == 1
    assert other.ids("a red dog")[0] == 3
    assert made.fingerprint != other.fingerprint


def test_cleaning_is_part_of_what_a_vocabulary_is(config_named, folder):
    def made(name, **arguments):
        text = {"hf_tokenizer_name": str(folder("bert")), "tokenizer_kwargs": arguments}
        return open_clip_vocabulary(config_named(name, **text), None, tower(900, **LAST))

    ways = [{}, {"clean": "canonicalize"}, {"strip_sep_token": True}]
    several = [made(f"voc-clean-{n}", **way) for n, way in enumerate(ways)]
    assert len({vocabulary.fingerprint for vocabulary in several}) == 3
    assert len({vocabulary.ids("a dog, red") for vocabulary in several}) == 3


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ({"tokenizer_mode": "clips"}, "tokenizer_mode clips"),
        ({"tokenizer_kwargs": {"language": "de"}}, "language"),
        ({"tokenizer_kwargs": {"clean": "shout"}}, "clean shout"),
        ({"context_length": 20}, "context_length 20"),
    ],
)
def test_another_use_of_a_tokenizer_is_refused(text, use, config_named, folder):
    name = config_named("voc-use", hf_tokenizer_name=str(folder("bert")), **text)
    with pytest.raises(BackboneError, match=rf"in a way rtd does not know \({use}"):
        open_clip_vocabulary(name, None, tower(900, **LAST))


def test_a_siglip_without_a_tokenizers_name_is_refused(config_named):
    name = config_named("voc-SigLIP")
    with pytest.raises(BackboneError, match="a SigLIP without hf_tokenizer_name"):
        open_clip_vocabulary(name, None, tower(900, **LAST))
