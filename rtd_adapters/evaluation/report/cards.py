"""The report's queries, each a card: the reference picture and the rankings before and after."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from rtd_adapters.evaluation.report.strips import SHOWN, Strip, picture_uri
from rtd_adapters.evaluation.result import QueryRecord

GROUPS = {"": "All", "gain": "Best gains", "loss": "Worst losses", "random": "Random others"}


def queries_section(strips: Sequence[Strip], folder: Path, patched: bool) -> str:
    """Queries as cards, with the buttons that filter them; empty without queries.

    Args:
        strips: the queries to show.
        folder: holds the small pictures.
        patched: whether there are rankings after as well as before.
    """
    if not strips:
        return ""
    present = {strip.group for strip in strips}
    buttons = "".join(
        f'<button type="button" data-group="{group}" aria-pressed="{str(not group).lower()}">'
        f"{title}</button>"
        for group, title in GROUPS.items()
        if not group or group in present
    )
    kinds = sorted({strip.query.category for strip in strips} - {""})
    options = "".join(f'<option value="{escape(kind)}">{escape(kind)}</option>' for kind in kinds)
    select = (
        f'<label>Kind <select id="category"><option value="">all</option>{options}</select></label>'
        if kinds
        else ""
    )
    cards = "".join(_card(strip, folder, patched) for strip in strips)
    return (
        "<h2>Queries</h2>"
        "<p>The right answer is framed. j and k go through them.</p>"
        f'<div class="bar">{buttons}{select}<output id="count"></output></div>{cards}'
    )


def _card(strip: Strip, folder: Path, patched: bool) -> str:
    query = strip.query
    ranks = f"rank {query.base_rank or '?'}"
    if patched:
        ranks += f" to {query.patched_rank or '?'}"
    rows = _row("before", query.base_top, query, folder)
    if patched:
        rows += _row("after", query.patched_top, query, folder)
    reference = ""
    if query.reference:
        picture = _picture(folder, query.reference, "reference picture", right=False)
        reference = f"{picture}<small>reference</small>"
    kind = escape(query.category)
    return (
        f'<article tabindex="0" data-group="{strip.group}" data-category="{kind}">'
        f"<h3>{escape(query.text)}<span>{ranks}</span><span>{kind}</span></h3>"
        f'<div class="ask">{reference}</div>'
        f'<div class="rows">{rows}</div></article>'
    )


def _row(title: str, ids: Sequence[str], query: QueryRecord, folder: Path) -> str:
    pictures = "".join(
        _picture(folder, image, f"{title}, place {place}", right=image in query.targets)
        for place, image in enumerate(ids[:SHOWN], start=1)
    )
    return f'<div class="row"><small>{title}</small>{pictures}</div>'


def _picture(folder: Path, identity: str, what: str, *, right: bool) -> str:
    uri = picture_uri(folder, identity)
    mark = " target" if right else ""
    label = escape(f"{what}: {identity}{', the right answer' if right else ''}")
    if uri is None:
        return f'<div class="none{mark}" title="{label}">{escape(identity)}</div>'
    return f'<img class="{mark.strip()}" src="{uri}" alt="{label}" title="{label}">'
