"""Servers fail and are asked again; what they say is believed in nothing."""

from __future__ import annotations

import json

import pytest

from rtd_adapters.errors import RtdError, UsageError
from rtd_adapters.triplets.llm.endpoint import Endpoint

BODIES = {
    "list": b"[]",
    "text": b'"x"',
    "number": b"7",
    "null": b"null",
    "nothing": b"{}",
    "no choices": b'{"choices": []}',
    "no message": b'{"choices": [{}]}',
    "message is text": b'{"choices": [{"message": "x"}]}',
    "content is a list": b'{"choices": [{"message": {"content": [{"text": "x"}]}}]}',
    "usage is a list": b'{"choices": [{"message": {"content": "x"}}], "usage": [1]}',
    "tokens without end": b'{"choices": [{"message": {"content": "x"}}], "usage":'
    b' {"prompt_tokens": 1e999}}',
    "tokens below none": b'{"choices": [{"message": {"content": "x"}}], "usage":'
    b' {"completion_tokens": -1}}',
    "deep": b"[" * 100_000,
    "digits": b"9" * 6000,
    "no UTF-8": b"\xff\xfe\xfa",
    "huge": b" " * ((1 << 24) + 1),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_chat_completion_is_asked_for_again(body, model):
    model.faults = {"dog": [b"HTTP/1.0 200 OK\r\n\r\n" + body]}
    answer = Endpoint(model.url, "m", first_wait=0.01)("Caption: dog")
    assert json.loads(answer.text)["target"] == "blue dog"
    assert model.asked == {"dog": 2}


def test_a_body_that_ends_before_its_length_is_asked_for_again(model):
    whole = b'{"choices": [{"message": {"content": "cut"}}]}'
    model.faults = {"dog": [b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n" + whole]}
    assert Endpoint(model.url, "m", first_wait=0.01)("Caption: dog").text != "cut"
    assert model.asked == {"dog": 2}


@pytest.mark.parametrize("wait", ["-5", "nan", "inf", "-inf", "Wed, 21 Oct 2015 07:28:00 GMT", "x"])
def test_any_retry_after_is_borne(wait, model, monkeypatch):
    waits = []
    monkeypatch.setattr("rtd_adapters.triplets.llm.server.time.sleep", waits.append)
    model.faults = {"dog": [f"HTTP/1.0 429 slow down\r\nRetry-After: {wait}\r\n\r\n".encode()]}
    assert Endpoint(model.url, "m")("Caption: dog").text
    waits = [seconds for seconds in waits if seconds != 0.02]  # the server's own
    assert len(waits) == 1
    assert 0 <= waits[0] <= 60


def test_a_redirect_to_nonsense_is_no_crash(model):
    model.faults = {"dog": [b"HTTP/1.0 302 go\r\nLocation: http://[x\r\n\r\n"] * 6}
    with pytest.raises(RtdError, match=r"302|did not answer"):
        Endpoint(model.url, "m", first_wait=0.001)("Caption: dog")


def test_a_nonsense_address_is_refused():
    with pytest.raises(UsageError, match="no http"):
        Endpoint("file:///etc/passwd", "m")
