"""A transformers model in a folder answers."""

from __future__ import annotations

import pytest

from rtd_adapters.errors import FileError


def test_a_local_model_answers_from_its_folder(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from rtd_adapters.triplets.llm.local_model import LocalModel

    words = {word: n for n, word in enumerate(["<unk>", "<eos>", "a", "dog", "cat", "runs"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>"
    ).save_pretrained(tmp_path / "model")
    config = GPT2Config(vocab_size=6, n_positions=32, n_embd=8, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    ask = LocalModel(tmp_path / "model", max_tokens=5, seed=3)
    answer = ask("a dog runs")
    assert ask("a dog runs") == answer
    assert answer.prompt_tokens == 3
    assert 1 <= answer.completion_tokens <= 5
    assert set(answer.text.split()) <= set(words)
    turns = ("a dog", "cat", "runs")
    assert ask(*turns).prompt_tokens == 4
    other = LocalModel(tmp_path / "model", max_tokens=5, seed=4)
    assert ask(*turns).text == other("a dog\ncat\nruns").text  # the second question's own seed
    template = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}runs"
    ask._tokenizer.chat_template = template
    assert ask(*turns).prompt_tokens == 8
    with pytest.raises(FileError, match="does not load"):
        LocalModel(tmp_path)
