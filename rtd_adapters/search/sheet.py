"""What a question found as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from rtd_adapters.evaluation.report.page import filled
from rtd_adapters.io.atomic import whole_file
from rtd_adapters.search.index import Hit, Index
from rtd_adapters.search.questions import Answer, Found, Question

TEMPLATE = Path(__file__).with_name("sheet.html")
SIDE = 256
"""Pixels of the reference's longer side at most, where it is no entry."""


def write_sheet(answer: Answer, question: Question, index: Index, out: Path) -> None:
    """Write a page of what a question found, small pictures included.

    Args:
        answer: of the searcher.
        question: that it answers.
        index: that has the small pictures.
        out: the HTML file.

    Raises:
        FileError: the index fails, or the disk refuses.
    """
    card = index.card
    ids = {hit.id for found in answer.found for hit in found.hits}
    pictures = {identity: data_uri(index.thumbnail(identity)) for identity in sorted(ids)}
    parts = {
        "TITLE": escape(question.text or "Pictures like this one"),
        "SUBTITLE": escape(f"{card.count:,} pictures of {card.source}, seen by {card.backbone}."),
        "ASKED": _asked(answer, question, index),
        "COLUMNS": "".join(_column(found, pictures) for found in answer.found),
    }
    with whole_file(out) as temporary:
        page = filled(parts, TEMPLATE)
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def data_uri(picture: bytes) -> str:
    """A JPEG inside a page."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def _asked(answer: Answer, question: Question, index: Index) -> str:
    """The reference and what the text tower was given."""
    uri = ""
    if question.entry:
        uri = data_uri(index.thumbnail(question.entry))
    elif question.picture is not None:
        small, buffer = question.picture.copy(), io.BytesIO()
        small.thumbnail((SIDE, SIDE))
        small.save(buffer, "JPEG", quality=90)
        uri = data_uri(buffer.getvalue())
    shown = f'<img src="{uri}" alt="the reference picture">' if uri else ""
    prompt = f"<p>Asked as <code>{escape(answer.prompt)}</code></p>" if answer.prompt else ""
    return f"{shown}{prompt}"


def _column(found: Found, pictures: dict[str, str]) -> str:
    hits = "".join(
        _figure(place, hit, pictures[hit.id]) for place, hit in enumerate(found.hits, start=1)
    )
    head = f"<h2>{escape(found.column.name)}</h2><p>{escape(found.column.about)}</p>"
    return f"<section>{head}<ol>{hits}</ol></section>"


def _figure(place: int, hit: Hit, uri: str) -> str:
    name = escape(hit.id)
    return (
        f'<li><img src="{uri}" alt="{name}"><b>{place}</b> <span>{hit.score:.3f}</span>'
        f'<small title="{name}">{name}</small></li>'
    )
