"""Tokenizers that are not there, that are damaged, or that bring code: one message each, soon."""

from __future__ import annotations

import json
import logging
import socket
import time

import pytest
import tiny_tokenizers
from hypothesis import HealthCheck, given, settings

from rtd_adapters.clip.text import Tokenizer
from rtd_adapters.clip.text.hub_vocabulary import HubVocabulary
from rtd_adapters.clip.tokenizer_files import load_tokenizer
from rtd_adapters.errors import BackboneError, FileError, RtdError
from tests.fuzz.damage import damaged, reshaped

NAME = "timm/ViT-B-16-SigLIP2"
MISSING = (
    f"The tokenizer {NAME} is not in Hugging Face's cache and cannot be fetched .*Download "
    f"tokenizer.json and tokenizer_config.json from the repository {NAME} and put them beside the "
    "weights file"
)


@pytest.fixture
def bert(tmp_path):
    return tiny_tokenizers.bert(tmp_path / "bert")


@pytest.fixture
def online(monkeypatch, tmp_path):
    """A Hub at an address of one's choice, and an empty cache."""
    from huggingface_hub import constants

    def at(endpoint):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    return at


# Not there


def test_without_network_a_missing_tokenizer_is_told_at_once():
    started = time.monotonic()
    with pytest.raises(
        BackboneError, match=rf"{MISSING}".replace("fetched ", "fetched .HF_HUB_OF")
    ):
        load_tokenizer(NAME)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("closed", [True, False])
def test_a_hub_that_does_not_answer_is_not_waited_for(closed, online, monkeypatch):
    """A port that is closed, and one where nobody speaks: the client itself would try six times."""
    monkeypatch.setattr("rtd_adapters.io.hub.PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        online(f"http://127.0.0.1:{silent.getsockname()[1]}")
        if closed:
            silent.close()
        started = time.monotonic()
        with pytest.raises(BackboneError, match=MISSING):
            load_tokenizer(NAME)
    assert time.monotonic() - started < 3


def test_a_cached_tokenizer_is_used_without_asking(online, monkeypatch, tmp_path, bert):
    import transformers

    asked = []

    def from_pretrained(name, *, local_files_only, trust_remote_code):
        asked.append((name, local_files_only, trust_remote_code))
        return real(str(bert), local_files_only=True)

    real = transformers.AutoTokenizer.from_pretrained
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    online("http://127.0.0.1:9")
    assert len(load_tokenizer(NAME)) == tiny_tokenizers.size(bert)
    assert asked == [(NAME, True, False)]


def test_a_folder_without_a_vocabulary_is_told_what_it_lacks(bert):
    (bert / "tokenizer.json").unlink()
    with pytest.raises(BackboneError, match=r"has no tokenizer\. Put tokenizer\.json and"):
        load_tokenizer(bert)
    (bert / "spiece.model").write_bytes(b"none of BERT's")
    with pytest.raises(BackboneError, match=r"has no tokenizer that loads|does not know the"):
        HubVocabulary(load_tokenizer(bert), "bert")


# Code


EVIL = """
import pathlib
pathlib.Path({marker!r}).touch()
class Evil: pass
"""


@pytest.mark.parametrize("known", [True, False])
def test_code_that_comes_with_a_tokenizer_is_never_run(known, bert, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    marker = tmp_path / "ran"
    (bert / "evil.py").write_text(EVIL.format(marker=str(marker)))
    config = json.loads((bert / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    if not known:
        config["tokenizer_class"] = "Evil"
    (bert / "tokenizer_config.json").write_text(json.dumps(config))
    if known:
        assert type(load_tokenizer(bert)).__name__.startswith("BertTokenizer")
    else:
        with pytest.raises(BackboneError, match=r"no tokenizer that loads .*contains custom code"):
            load_tokenizer(bert)
    assert not marker.exists()


# Damage


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("tokenizer.json", "[" * 100_000, "is not valid JSON"),
        ("tokenizer.json", '{"model"', "is not valid JSON"),
        ("tokenizer.json", "[]", "no tokenizer that loads"),
        ("tokenizer.json", '{"model": {"vocab": {"a": 2147483648}}}', "id 2,147,483,648"),
        ("tokenizer.json", '{"added_tokens": [{"id": 3, "content": ""}]}', "empty token"),
        ("tokenizer_config.json", '{"eos_token": ""}', "empty token .eos_token"),
        ("tokenizer_config.json", '{"extra_ids": 99999999999}', "extra_ids is 99,999,999,999"),
        ("special_tokens_map.json", '{"pad_token": {"content": ""}}', "empty token .content"),
        ("added_tokens.json", '{"x": ', "is not valid JSON"),
        ("vocab.json", '{"a": 4294967296}', "id 4,294,967,296"),
    ],
)
def test_a_damaged_file_is_named(file, text, words, bert):
    (bert / file).write_text(text)
    with pytest.raises((BackboneError, FileError), match=words) as raised:
        load_tokenizer(bert)
    assert str(bert) in str(raised.value)


def test_a_huge_file_is_not_read(bert, monkeypatch):
    monkeypatch.setattr("rtd_adapters.clip.tokenizer_files.LARGEST", 1000)
    with pytest.raises(BackboneError, match=r"has [\d,]+ bytes, more than rtd reads \(1,000\)"):
        load_tokenizer(bert)


def test_a_tokenizer_that_fails_on_a_text_says_which(bert):
    """WordPiece needs its unknown token only where a text has unknown letters."""
    value = json.loads((bert / "tokenizer.json").read_text())
    value["model"]["unk_token"] = "[NONE]"
    value["model"]["vocab"].pop("[UNK]")
    (bert / "tokenizer.json").write_text(json.dumps(value))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (bert / "tokenizer_config.json").write_text(json.dumps(config))
    known = HubVocabulary(load_tokenizer(bert), "bert")
    with pytest.raises(BackboneError, match=r"tokenizer of bert fails on 'a ☃' .*Fetch its"):
        known.ids("a ☃")


def use(folder):
    """Everything that is asked of a vocabulary."""
    known = HubVocabulary(load_tokenizer(folder), "x", rows=1000)
    ours = Tokenizer(16, "$", vocabulary=known)
    ours.encode(["a photo ☃", ""])
    ours.encode_prompts(["a photo of $ that is red"])
    ours.shorten(ours.clean("a red $ dog " * 9))
    assert known.fingerprint


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["bert", "gemma", "xlm"])
@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("damage", [damaged, reshaped])
def test_whatever_is_done_to_a_tokenizer_is_said_in_a_line(kind, file, damage, tmp_path):
    folder = tiny_tokenizers.MAKERS[kind](tmp_path)
    whole = (folder / file).read_bytes()
    use(folder)
    source = damage(whole) if damage is damaged else reshaped(json.loads(whole))

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(source)
    def said(found):
        found = found if isinstance(found, bytes) else json.dumps(found).encode()
        (folder / file).write_bytes(found)
        try:
            use(folder)
        except RtdError as error:
            assert str(error).strip()

    logging.disable(logging.CRITICAL)
    try:
        said()
    finally:
        logging.disable(logging.NOTSET)
