"""The JSON API: searching, browsing, small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from starlette.concurrency import run_in_threadpool

from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.rivals import RIVALS
from rtd_adapters.search.columns import different, patched_column, rival_columns
from rtd_adapters.search.questions import COMPOSED, Answer, Question
from rtd_adapters.search.server.schemas import (
    AboutModel,
    AnswerModel,
    ColumnModel,
    EntriesModel,
    EntryModel,
    PatchModel,
    Problem,
)
from rtd_adapters.search.server.serving import Serving
from rtd_adapters.search.server.uploads import MOST_BYTES, decoded, key_of

MOST_RESULTS, MOST_TEXT, MOST_ID, MOST_COLUMNS = 200, 1_000, 4_096, 8
MOST_ENTRIES = 500
KEEP = "private, max-age=300"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "No such picture in the index."},
    422: {"model": Problem, "description": "The request cannot be answered as it stands."},
    503: {"model": Problem, "description": "Too much is asked, or the store does not answer."},
}
UPLOAD_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    408: {"model": Problem, "description": "The request came too slowly."},
    413: {"model": Problem, "description": "Too many bytes."},
}
api = APIRouter(prefix="/api")

Id = Annotated[str, Query(max_length=MOST_ID, description="Of a picture in the index.")]


@api.get("/about", summary="What is searched, and by what")
def about(request: Request) -> AboutModel:
    """Index, backbone, method, patch, and bounds."""
    serving = _serving(request)
    encoder, card = serving.searcher.encoder, serving.searcher.index.card
    patch = encoder.patch
    return AboutModel(
        source=Path(card.source).name,  # where it lies is nobody's business
        pictures=card.count,
        backbone=encoder.backbone.label,
        method=encoder.method.name if encoder.method else "",
        patch=PatchModel(title=patch.metadata.title, strength=serving.strength) if patch else None,
        rivals=[rival.name for rival in RIVALS],
        most_results=MOST_RESULTS,
        most_bytes=MOST_BYTES,
        note=serving.note,
    )


@api.post("/search", summary="Search", responses=UPLOAD_PROBLEMS)
async def search(
    request: Request,
    response: Response,
    text: Annotated[
        str, Form(max_length=MOST_TEXT, description="The conditioning text, or a plain caption.")
    ] = "",
    picture: Annotated[
        UploadFile | None, File(description="The reference: JPEG, PNG, WebP, GIF or BMP.")
    ] = None,
    entry: Annotated[
        str, Form(max_length=MOST_ID, description="The reference, by its id in the index.")
    ] = "",
    k: Annotated[int, Form(ge=1, le=MOST_RESULTS, description="Results of each column.")] = 12,
    strength: Annotated[
        list[float] | None,
        Form(
            max_length=MOST_COLUMNS,
            description="Columns of composed queries: the patch at these strengths, 0 to 1. "
            "0 is the base tower.  [0, and with a patch 1]",
        ),
    ] = None,
    rivals: Annotated[
        list[str] | None,
        Form(max_length=MOST_COLUMNS, description="Columns of training-free rivals, by name."),
    ] = None,
) -> AnswerModel:
    """Search with a picture, a text, or both.

    A picture and a text are a composed query, and get a column for each strength and rival; a text
    alone is embedded by the base text tower, a picture alone by the image tower.

    `Server-Timing` says how long encoding and search took, in milliseconds, for all requests that
    were answered together.
    """
    serving = _serving(request)
    patched = serving.searcher.encoder.patch is not None
    chosen = strength if strength else [0.0, 1.0] if patched else [0.0]
    if not patched and any(chosen):
        raise UsageError("there is no patch, and so no strength but 0. Start with --patch.")
    columns = different((*map(patched_column, chosen), *rival_columns(rivals or ())))
    data = await picture.read() if picture is not None else b""
    key = key_of(data) if data else ""
    seen = serving.remembered.get(key)
    shown = await run_in_threadpool(decoded, data) if data and seen is None else None
    question = Question(text.strip(), shown, seen, entry, k, columns)
    answer = await serving.batcher.ask(question)
    if key and answer.seen is not None:
        serving.remembered.keep(key, answer.seen)
    response.headers["Server-Timing"] = ", ".join(
        f"{name};dur={1_000 * seconds:.2f}" for name, seconds in answer.seconds.items()
    )
    response.headers["Cache-Control"] = "no-store"
    return _model(answer, serving)


@api.get("/entries", summary="Browse", responses=PROBLEMS)
def entries(
    request: Request,
    start: Annotated[int, Query(ge=0, le=1 << 40, description="Place of the first one.")] = 0,
    count: Annotated[int, Query(ge=1, le=MOST_ENTRIES, description="How many.")] = 60,
) -> EntriesModel:
    """Some pictures of the index, in its order."""
    index = _serving(request).searcher.index
    page = [EntryModel(id=e.id, width=e.width, height=e.height) for e in index.page(start, count)]
    return EntriesModel(pictures=index.card.count, entries=page)


@api.get(
    "/thumbnail",
    summary="A small picture",
    response_class=Response,
    responses={**PROBLEMS, 200: {"content": {"image/jpeg": {}}}},
)
def thumbnail(request: Request, id: Id) -> Response:
    """A picture of the index, its longest side 256 pixels at most."""
    data = _serving(request).searcher.index.thumbnail(id)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": KEEP})


def _serving(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving


def _model(answer: Answer, serving: Serving) -> AnswerModel:
    method = serving.searcher.encoder.method
    composed = answer.kind == COMPOSED and method is not None
    return AnswerModel(
        kind=answer.kind,
        prompt=answer.prompt,
        placeholder=method.placeholder if composed and method else "",
        columns=[ColumnModel.model_validate(found.record()) for found in answer.found],
    )
