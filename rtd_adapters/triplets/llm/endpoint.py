"""A language model behind an OpenAI-compatible HTTP server."""

from __future__ import annotations

import base64
import http.client
import json
import random
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from rtd_adapters.errors import RtdError, TripletError, UsageError
from rtd_adapters.triplets.llm.completion import Answer, parse_completion
from rtd_adapters.triplets.llm.secrets import (
    account_in,
    hide,
    identified,
    secrets_in,
    without_secrets,
)

PATH = "/chat/completions"
ATTEMPTS = 6
LONGEST_WAIT = 60.0
"""Seconds between attempts."""
TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504)
SHOWN = 200
LARGEST = 1 << 24
"""Bytes of a server's answer."""
LARGEST_REFUSAL = 1 << 16


class NoAnswerError(RtdError):
    """The server gave no usable answer in all attempts."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


@dataclass(frozen=True)
class Endpoint:
    """Asks a server for chat completions; safe to call from many threads.

    A busy or failing server, a cut connection and a broken body are tried again, with waits that
    double from `first_wait` (or of the seconds that the server's Retry-After says).

    Raises:
        UsageError: the address or the key cannot be sent.
    """

    url: str = field(repr=False)
    """With its version, such as http://localhost:8000/v1. `name:password@` before the host goes as
    basic authentication, and then no key does; a query follows the path."""
    model: str
    key: str | None = field(default=None, repr=False)
    temperature: float = 0.8
    max_tokens: int = 200
    seed: int = 0
    timeout: float = 120.0
    """Seconds for one attempt."""
    first_wait: float = 1.0

    def __post_init__(self) -> None:
        # What is wrong with an address is said without it: the wrong part may be the key.
        if not self.url.startswith(("http://", "https://")):
            raise UsageError("--endpoint is no http:// or https:// address.")
        try:
            parts = urlsplit(self.url)
            fine = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            fine = False
        if not fine or not _is_plain(self.url):
            raise UsageError(
                "--endpoint is no address: it needs a host, a port that is a number if it has "
                "one, and no spaces or letters beyond ASCII (write %-escapes)."
            )
        if self.key and not _is_plain(self.key):
            raise UsageError(
                "The key holds a space, a line break or a letter beyond ASCII, which cannot be "
                "sent. Set the variable that --key-env names again."
            )

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its answers, to be stored: of what is secret a hash, of the key nothing."""
        return {
            "endpoint": identified(self.url),
            "model": self.model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

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
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = str(getattr(error, "reason", None) or error) or type(error).__name__
            except TripletError as error:
                problem = f"a body that is no chat completion: {error}"
            if attempt + 1 < ATTEMPTS:
                time.sleep(min(wait, LONGEST_WAIT))
        raise NoAnswerError(
            f"{without_secrets(self.url)} did not answer in {ATTEMPTS} attempts: "
            f"{self._shown(problem)}."
        )

    def _ask(self, prompt: str) -> Answer:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }
        headers = {"Content-Type": "application/json", **self._authorization()}
        parts = urlsplit(self.url)
        host, path = parts.netloc.rpartition("@")[2], parts.path.rstrip("/") + PATH
        request = urllib.request.Request(
            urlunsplit((parts.scheme, host, path, parts.query, "")),
            json.dumps(body).encode(),
            headers,
        )
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=self.timeout) as response:
            answer = response.read(LARGEST + 1)
        if len(answer) > LARGEST:
            raise TripletError(f"it has more than {LARGEST >> 20} MiB")
        return parse_completion(answer)

    def _authorization(self) -> dict[str, str]:
        if account := account_in(self.url):
            return {"Authorization": f"Basic {base64.b64encode(account.encode()).decode()}"}
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        try:
            said = error.read(LARGEST_REFUSAL).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            said = ""
        return (
            f"{without_secrets(self.url)} refuses the request: HTTP {error.code} "
            f"{self._shown(str(error.reason))}. {self._shown(said)} "
            "Check --endpoint, --model and the key."
        )

    def _shown(self, said: str) -> str:
        """What a server said, fit to be shown; hidden first, for a cut key would not be found."""
        return hide(said, (self.key or "", *secrets_in(self.url)))[:SHOWN].strip()


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _retry_after(error: urllib.error.HTTPError, otherwise: float) -> float:
    """Seconds that the server wants to be left alone; a date or nonsense says nothing."""
    try:
        seconds = float(error.headers.get("Retry-After", otherwise))
    except ValueError:
        return otherwise
    return seconds if seconds >= 0 else otherwise
