"""OpenAI's own client and types, as a third party: of what we send, and of our test server."""

from __future__ import annotations

import io
import json

import pytest
from model_server import KEY, SAYS, batched, no_purple, run

openai = pytest.importorskip("openai")


@pytest.fixture
def client(model):
    """Refuses every reply that is not of the type that OpenAI's specification says."""
    return openai.OpenAI(
        api_key=KEY, base_url=model.url, max_retries=0, _strict_response_validation=True
    )


def test_the_test_server_speaks_the_api(client, model):
    """All that our own code asks it, asked by OpenAI's client."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "Caption: dog"}]}
    answer = client.chat.completions.create(**chat).choices[0].message.content
    assert json.loads(answer)["target"] == "blue dog"
    request = {"method": "POST", "url": "/v1/chat/completions", "body": chat}
    lines = "".join(json.dumps({"custom_id": f"{n}", **request}) + "\n" for n in range(3))
    model.faults = {"dog": [None, 429]}
    file = client.files.create(file=("r.jsonl", io.BytesIO(lines.encode())), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert [found.input_file_id for found in client.batches.list(limit=100)] == [file.id]
    statuses = [client.batches.retrieve(batch.id).status for _ in range(3)]
    assert statuses == ["in_progress", "finalizing", "completed"]
    ended = client.batches.retrieve(batch.id)
    assert (ended.request_counts.completed, ended.request_counts.failed) == (2, 1)
    outputs = client.files.content(ended.output_file_id).text.splitlines()
    for line in map(json.loads, outputs):
        openai.types.chat.ChatCompletion.model_validate(line["response"]["body"])
    (error,) = map(json.loads, client.files.content(ended.error_file_id).text.splitlines())
    assert error["response"]["status_code"] == 429
    model.desk.endings = ["failed"]
    refused = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    for _ in range(3):
        refused = client.batches.retrieve(refused.id)
    assert refused.errors.data[0].code == "model_not_found"


def test_what_we_send_is_of_openais_types(model, captions, tmp_path, monkeypatch):
    from openai.types.batch_create_params import BatchCreateParams
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from pydantic import TypeAdapter

    made, real = [], model.desk._create
    monkeypatch.setattr(model.desk, "_create", lambda asked: made.append(asked) or real(asked))
    model.says = SAYS
    run(model, captions, tmp_path / "single", faults=no_purple)
    batched(model, captions, tmp_path / "batch", say=lambda line: None)
    assert len(made) == 2
    for asked in made:
        TypeAdapter(BatchCreateParams).validate_python(asked, strict=True)
        assert set(asked) <= set(BatchCreateParams.__annotations__)
    talks = [talk for talks in model.talks.values() for talk in talks]
    assert {len(talk["messages"]) for talk in talks} == {1, 3}
    known = TypeAdapter(CompletionCreateParamsNonStreaming)
    for talk in talks:
        known.validate_json(json.dumps(talk))
        assert set(talk) <= CompletionCreateParamsNonStreaming.__required_keys__ | (
            CompletionCreateParamsNonStreaming.__optional_keys__
        )
