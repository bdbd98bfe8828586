"""The lines of a batch's output and error files, read without trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtd_adapters.errors import TripletError
from rtd_adapters.triplets.llm.completion import Answer, parse_reply, read_completion

EXPIRED = "expired"
UNREADABLE = "no chat completion"
FAILED = "failed on the server"
OK = 200


@dataclass(frozen=True)
class Line:
    """What became of one request."""

    name: str
    """As the request was named."""
    outcome: Answer | str
    """The answer, or why there is none."""


def parse_lines(body: bytes) -> list[Line]:
    """Every line that names its request; others say nothing, as if they were not there.

    Raises:
        TripletError: the last line is cut off.
    """
    lines = [line for line in body.split(b"\n") if line.strip()]
    parsed = [_parsed(line) for line in lines]
    if lines and parsed[-1] is None:
        raise TripletError("its last line is cut off")
    return [
        Line(value["custom_id"], _outcome(value))
        for value in parsed
        if isinstance(value, dict) and isinstance(value.get("custom_id"), str)
    ]


def _parsed(line: bytes) -> Any:
    try:
        return parse_reply(line)
    except TripletError:
        return None


def _outcome(value: dict[str, Any]) -> Answer | str:
    response, error = value.get("response"), value.get("error")
    if isinstance(error, dict):
        return EXPIRED if error.get("code") == "batch_expired" else FAILED
    if not isinstance(response, dict):
        return FAILED
    status = response.get("status_code")
    if status == OK:
        try:
            return read_completion(response.get("body"))
        except TripletError:
            return UNREADABLE
    return f"HTTP {status}" if isinstance(status, int) and 100 <= status < 600 else FAILED
