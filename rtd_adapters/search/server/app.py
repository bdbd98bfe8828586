"""The server's app: the page, its API, and what becomes of errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from rtd_adapters import __version__
from rtd_adapters.errors import FileError, RtdError
from rtd_adapters.search.index import UnknownEntryError
from rtd_adapters.search.questions import Answer, Question, Searcher
from rtd_adapters.search.server.batching import Batcher, BusyError
from rtd_adapters.search.server.guard import Guard
from rtd_adapters.search.server.routes import api
from rtd_adapters.search.server.serving import Serving
from rtd_adapters.search.server.uploads import MOST_BYTES, Remembered

PAGE = Path(__file__).with_name("page")
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/results.js": ("results.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""All that is served beside the API; nothing else of the disk is."""
UNFORESEEN = "this was not foreseen. The server's terminal shows what went wrong."
UNREADABLE = (
    "the index, or a picture in it, cannot be read for now; the server's terminal says why. Ask "
    "again in a moment."
)
LOG = logging.getLogger(__name__)
DESCRIPTION = (
    "Composed search in one's own pictures: a picture and a sentence make the query, by the base "
    "text tower and by a patched one. Pictures are named by their ids in the index."
)


def build_app(searcher: Searcher, *, strength: float = 1.0, note: str = "") -> FastAPI:
    """The app, without the guard in front of it.

    Args:
        searcher: of the index that is served.
        strength: of the patch, that the page begins with.
        note: what the page's user should know.
    """
    batcher: Batcher[Question, Answer] = Batcher(searcher.answer)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    app = FastAPI(
        title="rtd serve",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # their pages come from a network
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.serving = Serving(searcher, batcher, Remembered(), strength, note)
    app.include_router(api)
    for path, (name, kind) in FILES.items():
        app.add_api_route(path, _file(name, kind), include_in_schema=False)
    app.add_exception_handler(RtdError, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(Exception, _failed)
    return app


def guarded_app(app: FastAPI, hosts: tuple[str, ...] = ()) -> Guard:
    """The app as it is served: whatever it says passes the guard, errors included.

    Args:
        app: of `build_app`.
        hosts: names that the server may be called by, beside addresses and localhost.
    """
    return Guard(app, hosts, MOST_BYTES)


def _file(name: str, kind: str) -> Callable[[], Awaitable[Response]]:
    content = (PAGE / name).read_bytes()

    async def file() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return file


async def _refused(request: Request, error: Exception) -> JSONResponse:
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        status, words = error.status_code, _worded(error)
        headers.update(error.headers or {})
    elif isinstance(error, RequestValidationError):
        status, words = 422, _first(error)
    elif isinstance(error, UnknownEntryError):
        status, words = 404, "there is no such picture in the index."
    elif isinstance(error, FileError):
        LOG.error("%s", error)  # it names places of this machine
        status, words = 503, UNREADABLE
    else:
        status, words = 503 if isinstance(error, BusyError) else 422, str(error)
    if status == 503:
        headers["Retry-After"] = "1"
    return JSONResponse({"error": words}, status, headers)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": UNFORESEEN}, 500)


def _worded(error: HTTPException) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "there is nothing at this address. /openapi.json lists what there is."
    return str(error.detail)


def _first(error: RequestValidationError) -> str:
    """The first thing that is wrong with a request's fields."""
    first = error.errors()[0]
    return f"{first['loc'][-1]}: {first['msg']}."
