"""What every request passes first: the right host, the page's own origin, a bounded body in time.

A browser runs whatever page its user has open, and any page can send requests to 127.0.0.1. It may
not read the answers, for no header allows it; a name that is rebound to 127.0.0.1 would make it the
same origin, and so the Host header is checked.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
CLOSING = {"Connection": "close"}
"""With what is refused, so that nobody goes on sending it."""
MOST_SECONDS = 60.0
"""In which a request's body has to come; who sends it slower holds a connection for nothing."""
OWN_SITES = ("same-origin", "none")
"""Of Sec-Fetch-Site: the page itself, and what the user typed."""


class Guard:
    """ASGI middleware in front of the app.

    Args:
        app: what is guarded.
        hosts: names that the server may be called by, beside addresses and localhost.
        most_bytes: of a request's body.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], most_bytes: int) -> None:
        self.app, self.most_bytes = app, most_bytes
        self.hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or hand on one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        if refusal := self._refusal(scope, headers):
            status, words = refusal
            await JSONResponse({"error": words}, status, CLOSING)(scope, receive, sending)
            return
        await self.app(scope, self._bounded(receive), sending)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and words for a request that goes no further."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, (
                f"this server is not {host!r}. Call it by its address, or start it with "
                "--allow-host NAME."
            )
        if not _from_here(scope, headers, host):
            return 403, "requests from other sites' pages are refused."
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "Content-Length is no number."
        return (413, self._too_large()) if int(length) > self.most_bytes else None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names an address, localhost, or a name that was allowed."""
        name = _without_port(host).lower()
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self.hosts
        return True

    def _bounded(self, receive: Receive) -> Receive:
        clock = asyncio.get_running_loop().time
        taken, whole, until = 0, False, clock() + MOST_SECONDS

        async def receiving() -> Message:
            nonlocal taken, whole
            try:
                message = await asyncio.wait_for(receive(), None if whole else until - clock())
            except asyncio.TimeoutError as error:
                raise HTTPException(408, _too_slow(), CLOSING) from error
            taken += len(message.get("body", b""))
            if taken > self.most_bytes:
                raise HTTPException(413, self._too_large(), CLOSING)
            whole = not message.get("more_body", False)
            return message

        return receiving

    def _too_large(self) -> str:
        return f"more than {self.most_bytes >> 20} MB were sent. Send a smaller picture."


def _too_slow() -> str:
    return f"the request did not come within {MOST_SECONDS:g} s. Send it again."


def _from_here(scope: Scope, headers: Headers, host: str) -> bool:
    """Whether a request comes from the page itself, from its user, or from no browser."""
    if (origin := headers.get("origin")) is not None:
        return origin in (f"http://{host}", f"https://{host}")
    site = headers.get("sec-fetch-site", "none")
    follows_a_link = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
    return site in OWN_SITES or (follows_a_link and scope["method"] == "GET")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
