"""What a model says is read, or dropped for a reason."""

from __future__ import annotations

import json

import pytest

from rtd_adapters.errors import UsageError
from rtd_adapters.triplets import Triplet
from rtd_adapters.triplets.llm.answers import (
    NO_JSON,
    NO_KEYS,
    NO_UNICODE,
    PROMPT,
    TOO_LONG,
    UNCHANGED,
    load_prompt,
    parse_answer,
)
from rtd_adapters.triplets.llm.run import llm_triplets

GOOD = {"conditioning": "is blue", "target": "a blue dog"}


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(GOOD),
        "Sure! Here it is:\n```json\n" + json.dumps(GOOD, indent=1) + "\n```\nAnything else?",
        '{"edit": "is blue", "output": " a blue\\n dog", }',
        "{'conditioning': 'is blue', 'target': 'a blue dog'}",
        '{"conditioning": "is blue", "target": "a blue\n dog"}',
    ],
)
def test_answers_that_can_be_read(answer):
    assert parse_answer("a red dog", answer) == Triplet("a red dog", "is blue", "a blue dog")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I cannot do that.", NO_JSON),
        ('{"conditioning": "is blue", "tar', NO_JSON),
        ('{"conditioning": "is blue"}', NO_KEYS),
        ('{"conditioning": 7, "target": "a"}', NO_KEYS),
        ("7", NO_JSON),
        ("[]", NO_JSON),
        ("[{}]", NO_KEYS),
        ("null", NO_JSON),
        ('{"a":' * 100_000, NO_JSON),
        ('{"a":' + "9" * 6000 + "}", NO_JSON),
        ('{"conditioning": "\\ud800", "target": "a"}', NO_UNICODE),
        ('{"conditioning": "x", "target": "A red dog."}', UNCHANGED),
        (json.dumps({"conditioning": "x", "target": "word " * 70}), TOO_LONG),
    ],
)
def test_answers_that_cannot(answer, why):
    assert parse_answer("a red dog", answer) == why


def test_prompts_can_be_changed(tmp_path):
    assert load_prompt(None) == PROMPT
    path = tmp_path / "prompt.txt"
    path.write_text('Answer {"target": ...} for {caption}!')
    asked = []

    def ask(prompt):
        asked.append(prompt)
        raise KeyboardInterrupt

    captions = tmp_path / "c.txt"
    captions.write_text("a dog")
    with pytest.raises(KeyboardInterrupt):
        llm_triplets(captions, tmp_path / "o", ask, identity={}, prompt=load_prompt(path))
    assert asked == ['Answer {"target": ...} for a dog!']
    path.write_text("no place")
    with pytest.raises(UsageError, match="where the caption goes"):
        load_prompt(path)
