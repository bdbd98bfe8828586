"""A language model behind an OpenAI-compatible HTTP server."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from rtd_adapters.errors import RtdError, UsageError

PATH = "/chat/completions"
ATTEMPTS = 6
LONGEST_WAIT = 60.0
"""Seconds between attempts."""
TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504)
SHOWN = 200


class NoAnswerError(RtdError):
    """The server gave no usable answer in all attempts."""


@dataclass(frozen=True)
class Answer:
    """What the model wrote, and what it cost in tokens."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


@dataclass(frozen=True)
class Endpoint:
    """Asks a server for chat completions; safe to call from many threads.

    A busy or failing server, a cut connection and a broken body are tried again, with waits that
    double from `first_wait` (or as the server's Retry-After says).
    """

    url: str
    """With its version, such as http://localhost:8000/v1."""
    model: str
    key: str | None = field(default=None, repr=False)
    temperature: float = 0.8
    max_tokens: int = 200
    seed: int = 0
    timeout: float = 120.0
    """Seconds for one attempt."""
    first_wait: float = 1.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UsageError(f"--endpoint {self.url!r} is no http:// or https:// address.")

    def __call__(self, prompt: str) -> Answer:
        """The model's answer.

        Raises:
            UsageError: the server refuses the request itself: wrong key, model or address.
            NoAnswerError: it did not answer in all attempts.
        """
        problem = ""
        for attempt in range(ATTEMPTS):
            wait = self.first_wait * 2**attempt * (1 + random.random() / 4)
            try:
                return self._ask(prompt)
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}"
                if error.code not in TRANSIENT:
                    raise UsageError(self._refusal(error)) from None
                wait = _retry_after(error, wait)
            except (OSError, http.client.HTTPException) as error:
                problem = str(getattr(error, "reason", None) or error) or type(error).__name__
            except (ValueError, LookupError, TypeError) as error:
                problem = f"a body that is no chat completion ({type(error).__name__})"
            if attempt + 1 < ATTEMPTS:
                time.sleep(min(wait, LONGEST_WAIT))
        raise NoAnswerError(f"{self.url} did not answer in {ATTEMPTS} attempts: {problem}.")

    def _ask(self, prompt: str) -> Answer:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(
            self.url.rstrip("/") + PATH, json.dumps(body).encode(), headers
        )
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=self.timeout) as response:
            value = json.loads(response.read())
        usage = value.get("usage") or {}
        return Answer(
            value["choices"][0]["message"]["content"] or "",
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
        )

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        try:
            said = error.read().decode("utf-8", "replace")[:SHOWN].strip()
        except (OSError, http.client.HTTPException):
            said = ""
        if self.key:
            said = said.replace(self.key, "***")
        return (
            f"{self.url} refuses the request: HTTP {error.code} {error.reason}. {said} "
            "Check --endpoint, --model and the key."
        )


def _retry_after(error: urllib.error.HTTPError, otherwise: float) -> float:
    try:
        return float(error.headers.get("Retry-After", otherwise))
    except ValueError:
        return otherwise
