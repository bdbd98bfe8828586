"""OpenAI's Batch API: files of requests that are answered within a day.

Form and limits: https://platform.openai.com/docs/guides/batch and /docs/api-reference/batch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rtd_adapters.errors import TripletError, UsageError
from rtd_adapters.triplets.llm.batch_lines import Line, parse_lines
from rtd_adapters.triplets.llm.bodies import form_body, json_body
from rtd_adapters.triplets.llm.completion import parse_reply
from rtd_adapters.triplets.llm.endpoint import PATH, Endpoint

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""Of one file."""
LARGEST_FILE = 1 << 30
"""Bytes of answers, which are held in memory."""
MOST_PAGES = 1000
"""Of the list of batches."""
UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
ENDED = ("completed", "expired", "failed", "cancelled")


@dataclass(frozen=True)
class State:
    """How far a batch is."""

    status: str
    """One of `UNDER_WAY` or `ENDED`."""
    files: tuple[str, ...]
    """Of answers and of errors, as far as there are any."""
    said: str
    """Why the server refused it, if it did."""

    @property
    def has_ended(self) -> bool:
        """Whether all its files are there."""
        return self.status in ENDED


@dataclass(frozen=True)
class Batches:
    """The batches of an endpoint's server, with the endpoint's model and settings."""

    endpoint: Endpoint
    most_requests: int = MOST_REQUESTS
    most_bytes: int = MOST_BYTES

    def line(self, name: str, turns: Sequence[str]) -> bytes:
        """A request as a line of a batch's file; its answer will come under `name`."""
        request = {
            "custom_id": name,
            "method": "POST",
            "url": f"/v1{PATH}",
            "body": self.endpoint.request(*turns),
        }
        return json.dumps(request).encode() + b"\n"

    def upload(self, lines: Sequence[bytes]) -> str:
        """Send a file of requests, which costs nothing yet; its id.

        Raises (as all that asks the server):
            UsageError: the server refuses it.
            NoAnswerError: it did not answer in all attempts.
        """
        body = form_body({"purpose": "batch"}, "requests.jsonl", lines)
        return self.endpoint.server.ask("/files", _read_id, body)

    def create(self, file: str) -> str:
        """Have a file's requests answered, once; the batch's id.

        A server may have made the batch and its answer be lost: before it is asked again, its
        list is looked at.
        """
        value = {
            "input_file_id": file,
            "endpoint": f"/v1{PATH}",
            "completion_window": "24h",
        }
        return self.endpoint.server.ask(
            "/batches", _read_id, json_body(value), instead=lambda: self.find(file)
        )

    def find(self, file: str) -> str | None:
        """The id of the batch that was made of a file, if one was.

        Raises:
            UsageError: the server does not list its batches.
        """
        after = ""
        for _ in range(MOST_PAGES):
            found, after = self._listed(f"/batches?limit=100{after}", file)
            if found or not after:
                return found
        return None

    def state(self, batch: str) -> State:
        """How far a batch is."""
        return self.endpoint.server.ask(f"/batches/{_quoted(batch)}", self._read_state)

    def lines(self, file: str) -> list[Line]:
        """The answers, or the failures, in a file of a batch that has ended."""
        path = f"/files/{_quoted(file)}/content"
        return self.endpoint.server.ask(path, parse_lines, largest=LARGEST_FILE)

    def _listed(self, page: str, file: str) -> tuple[str | None, str]:
        """The batch of a file on a page of the server's list, and where the next page begins."""
        try:
            rows, more = self.endpoint.server.ask(page, _read_page)
        except UsageError as error:
            raise UsageError(
                f"{error} Whether a batch was made of file {file} before the last run ended cannot "
                "be told without the server's list. Look there; if there is none, --overwrite "
                "starts anew, and pays anew for what was answered."
            ) from error
        found = next((_id(row) for row in rows if row.get("input_file_id") == file), None)
        return found, f"&after={_quoted(_id(rows[-1]))}" if more and rows else ""

    def _read_state(self, body: bytes) -> State:
        value = _object(parse_reply(body))
        status = value.get("status")
        if status not in UNDER_WAY + ENDED:
            raise TripletError(f"its status is {str(status)[:40]!r}")
        files = (value.get(name) for name in ("output_file_id", "error_file_id"))
        said = self.endpoint.server.shown(json.dumps(value.get("errors") or ""))
        return State(status, tuple(_text(file) for file in files if file), said)


def _read_id(body: bytes) -> str:
    return _id(parse_reply(body))


def _read_page(body: bytes) -> tuple[list[Mapping[str, Any]], bool]:
    value = _object(parse_reply(body))
    rows = value.get("data")
    if not isinstance(rows, list):
        raise TripletError("it is no list of batches")
    return [_object(row) for row in rows], bool(value.get("has_more"))


def _id(value: Any) -> str:
    return _text(_object(value).get("id"))


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TripletError(f"it is a {type(value).__name__}, not an object")
    return value


def _text(value: Any) -> str:
    if not (isinstance(value, str) and value):
        raise TripletError(f"it names {str(value)[:40]!r} where an id should be")
    return value


def _quoted(name: str) -> str:
    """An id as a part of a path, whatever the server put into it."""
    return quote(name.encode("utf-8", "replace"), safe="")
