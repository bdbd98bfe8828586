"""The server's process: a port of its own, requests until Ctrl-C, an end without a trace."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from rtd_adapters.errors import UsageError
from rtd_adapters.search.server.guard import Guard

PATIENCE = 5
"""Seconds that requests have to end in, once the server is told to stop."""
BACKLOG = 512


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that holds the port, so that nothing is loaded for a server that has none.

    Args:
        host: name or address of this machine.
        port: 0 for any that is free.

    Raises:
        UsageError: the port is taken or not allowed, or there is no such host here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        own = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(
            f"--host {host}: {error.strerror}. Name an address of this machine."
        ) from error
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(address)
        own.listen(BACKLOG)
    except OSError as error:
        own.close()
        raise UsageError(_refusal(host, port, error)) from error
    try:
        yield own
    finally:
        own.close()


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program. Pass --port with another one, or "
            "0 for any that is free."
        )
    if error.errno == errno.EACCES:
        return f"port {port} is not for everybody. Pass --port 1024 or above."
    return f"{host} port {port}: {error.strerror}. Pass --host 127.0.0.1 or another --port."


def address_of(own: socket.socket) -> str:
    """Where a browser finds what listens on a socket."""
    host, port = own.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # every address of this machine
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(app: Guard, own: socket.socket, started: Callable[[], None]) -> None:
    """Answer requests on a socket until a signal ends it; the signal is raised again then.

    Args:
        app: of `guarded_app`.
        own: of `listening`.
        started: called once requests are answered.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=PATIENCE,
    )
    _Announced(config, started).run(sockets=[own])


class _Announced(uvicorn.Server):
    """Says when it has begun."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, then tell."""
        await super().startup(sockets)
        self._tell()
