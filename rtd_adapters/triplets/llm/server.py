"""An OpenAI-compatible HTTP server: asked again where it fails, with a key that nothing shows."""

from __future__ import annotations

import base64
import http.client
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from rtd_adapters.errors import RtdError, TripletError, UsageError
from rtd_adapters.triplets.llm.bodies import Body
from rtd_adapters.triplets.llm.secrets import account_in, hide, secrets_in, without_secrets

ATTEMPTS = 6
LONGEST_WAIT = 60.0
"""Seconds between attempts."""
TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504)
SHOWN = 200
LARGEST = 1 << 24
"""Bytes of a server's answer, where nothing else is said."""
LARGEST_REFUSAL = 1 << 16

Read = TypeVar("Read")


class NoAnswerError(RtdError):
    """The server gave no usable answer in all attempts."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


@dataclass(frozen=True)
class Server:
    """Asks a server for what lies below its address; safe to call from many threads.

    A busy or failing server, a cut connection and a broken body are tried again, with waits that
    double from `first_wait` (or of the seconds that the server's Retry-After says).

    Raises:
        UsageError: the address or the key cannot be sent.
    """

    url: str = field(repr=False)
    """With its version, such as http://localhost:8000/v1. `name:password@` before the host goes as
    basic authentication, and then no key does; a query follows the path."""
    key: str | None = field(default=None, repr=False)
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
    def name(self) -> str:
        """Its address, fit to be shown."""
        return without_secrets(self.url)

    def ask(
        self,
        path: str,
        read: Callable[[bytes], Read],
        body: Body | None = None,
        *,
        largest: int = LARGEST,
        instead: Callable[[], Read | None] = lambda: None,
    ) -> Read:
        """What `read` makes of the server's answer.

        Args:
            path: below the address, such as /chat/completions; may have a query.
            read: raises TripletError where an answer is not of the promised form.
            body: what is posted; None gets.
            largest: bytes that an answer may have.
            instead: looked at after a failure, before the next attempt; what it gives is taken for
                the answer, so that what must not be done twice is not.

        Raises:
            UsageError: the server refuses the request itself: wrong key, model or address.
            NoAnswerError: it did not answer in all attempts.
        """
        problem = ""
        for attempt in range(ATTEMPTS):
            wait = self.first_wait * 2**attempt * (1 + random.random() / 4)
            try:
                return read(self._answer(path, body, largest))
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}"
                if error.code not in TRANSIENT:
                    raise UsageError(self._refusal(error)) from None
                wait = _retry_after(error, wait)
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = str(getattr(error, "reason", None) or error) or type(error).__name__
            except TripletError as error:
                problem = f"a body that cannot be read: {error}"
            if attempt + 1 < ATTEMPTS:
                time.sleep(min(wait, LONGEST_WAIT))
                if (known := instead()) is not None:
                    return known
        raise NoAnswerError(
            f"{self.name} did not answer in {ATTEMPTS} attempts: {self.shown(problem)}."
        )

    def shown(self, said: str) -> str:
        """What a server said, fit to be shown; hidden first, for a cut key would not be found."""
        return hide(said, (self.key or "", *secrets_in(self.url)))[:SHOWN].strip()

    def _answer(self, path: str, body: Body | None, largest: int) -> bytes:
        headers = self._authorization()
        if body is not None:
            headers |= {"Content-Type": body.kind, "Content-Length": str(body.length)}
        data = None if body is None else body.parts
        request = urllib.request.Request(self._address(path), data, headers)
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=self.timeout) as response:
            answer: bytes = response.read(largest + 1)
            promised = response.length
        if len(answer) > largest:
            raise TripletError(f"it has more than {largest >> 20} MiB")
        if promised:
            raise TripletError(f"it was cut off, {promised:,} bytes before its end")
        return answer

    def _address(self, path: str) -> str:
        """With the query of the address and that of the path, and without name and password."""
        parts, (below, _, query) = urlsplit(self.url), path.partition("?")
        host, before = parts.netloc.rpartition("@")[2], parts.path.rstrip("/")
        queries = "&".join(filter(None, (parts.query, query)))
        return urlunsplit((parts.scheme, host, before + below, queries, ""))

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
            f"{self.name} refuses the request: HTTP {error.code} "
            f"{self.shown(str(error.reason))}. {self.shown(said)} "
            "Check --endpoint, --model and the key."
        )


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _retry_after(error: urllib.error.HTTPError, otherwise: float) -> float:
    """Seconds that the server wants to be left alone; a date or nonsense says nothing."""
    try:
        seconds = float(error.headers.get("Retry-After", otherwise))
    except ValueError:
        return otherwise
    return seconds if seconds >= 0 else otherwise
