"""Questions to an index, and how they become vectors and rows of results."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from rtd_adapters.errors import BackboneError, RtdError, TripletError, UsageError
from rtd_adapters.search.columns import BASE_COLUMN, Column
from rtd_adapters.search.encoder import CompositionEncoder
from rtd_adapters.search.index import Hit, Index, IndexCard, UnknownEntryError
from rtd_adapters.search.seen import Seen

if TYPE_CHECKING:
    from PIL.Image import Image

COMPOSED, TEXT, PICTURE = "composed", "text", "picture"
"""Kinds of questions: picture and text, text alone, picture alone."""
ONES_OWN = (TripletError, UnknownEntryError, UsageError)
"""Errors that say something of one question, and nothing of those asked beside it."""
PLAIN = {
    TEXT: Column(TEXT, "the text as it stands, by the base text tower"),
    PICTURE: Column(PICTURE, "pictures like this one, by the image tower"),
}


@dataclass(frozen=True)
class Question:
    """What is asked; at most one of the three references."""

    text: str = ""
    picture: Image | None = None
    """The reference, in RGB."""
    seen: Seen | None = None
    """The reference as the image tower saw it before: one row."""
    entry: str = ""
    """The reference, by its id in the index; it is left out of its own results."""
    k: int = 10
    columns: tuple[Column, ...] = (BASE_COLUMN,)
    """Ways to make the query, where it is composed."""

    def __post_init__(self) -> None:
        given = (self.picture is not None, self.seen is not None, bool(self.entry))
        if sum(given) > 1:
            raise UsageError("a question has one reference picture: a picture or an entry.")
        if not any(given) and not self.text.strip():
            raise UsageError("nothing is asked. Give a picture, a text, or both.")
        if self.k < 1:
            raise UsageError(f"{self.k} results cannot be shown. Ask for 1 or more.")

    @property
    def kind(self) -> str:
        """`COMPOSED`, `TEXT` or `PICTURE`."""
        if self.picture is None and self.seen is None and not self.entry:
            return TEXT
        return COMPOSED if self.text.strip() else PICTURE


@dataclass(frozen=True)
class Found:
    """What one column found, best first."""

    column: Column
    hits: tuple[Hit, ...]

    def record(self) -> dict[str, Any]:
        """Plain values: name, about and strength of the column, id and score of each hit."""
        return {
            "name": self.column.name,
            "about": self.column.about,
            "strength": self.column.strength,
            "hits": [{"id": hit.id, "score": hit.score} for hit in self.hits],
        }


@dataclass(frozen=True)
class Answer:
    """What a question found, column by column."""

    kind: str
    prompt: str
    """What the method asks; the text itself, or nothing, where nothing is composed."""
    found: tuple[Found, ...]
    seen: Seen | None
    """The reference as the image tower saw it: one row."""
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    """Of `encode` and `search`, for the whole batch that the question was asked in."""


class Searcher:
    """An index and the encoder of its questions; safe to use from several threads.

    Args:
        index: of pictures.
        encoder: of the backbone that saw them.

    Raises:
        BackboneError: another backbone did; both are named.
    """

    def __init__(self, index: Index, encoder: CompositionEncoder) -> None:
        require_same_eyes(index.card, encoder)
        self.index, self.encoder = index, encoder

    def answer(self, questions: Sequence[Question]) -> list[Answer | RtdError]:
        """Answers in the order of their questions, asked together.

        What is wrong with one question is its own answer; what is wrong with index or encoder is
        everybody's.
        """
        try:
            return [*self._answered(questions)]
        except ONES_OWN as error:
            if len(questions) == 1:
                return [error]
            return [answer for question in questions for answer in self.answer([question])]
        except RtdError as error:
            return [error] * len(questions)

    def ask(self, question: Question) -> Answer:
        """The answer to a single question.

        Raises:
            UsageError: it cannot be composed, for there is no method.
            UnknownEntryError: its reference is not in the index.
            TripletError: its text is too long.
            RtdError: index or encoder fail.
        """
        (answer,) = self.answer([question])
        if isinstance(answer, RtdError):
            raise answer
        return answer

    def _answered(self, questions: Sequence[Question]) -> list[Answer]:
        started = time.perf_counter()
        seen = self._seen(questions)
        asked = [q.columns if q.kind == COMPOSED else (PLAIN[q.kind],) for q in questions]
        vectors = self._vectors(questions, asked, seen)
        prompts = self._prompts(questions, seen)
        places = [(row, column) for row, columns in enumerate(asked) for column in columns]
        encoded = time.perf_counter()
        rows = np.stack([vectors[place] for place in places])
        # One more than is shown: an entry finds itself, which nobody asked for.
        most = max(question.k for question in questions) + 1
        hits = dict(zip(places, self.index.search(rows, most), strict=True))
        seconds = {"encode": encoded - started, "search": time.perf_counter() - encoded}
        return [
            Answer(
                question.kind,
                prompts[row],
                tuple(Found(c, _shown(hits[row, c], question)) for c in asked[row]),
                seen.get(row),
                seconds,
            )
            for row, question in enumerate(questions)
        ]

    def _seen(self, questions: Sequence[Question]) -> dict[int, Seen]:
        """One row for each reference, by the place of its question."""
        seen = {row: q.seen for row, q in enumerate(questions) if q.seen is not None}
        shown = {row: q.picture for row, q in enumerate(questions) if q.picture is not None}
        kept: dict[int, str] = {}
        for row, question in enumerate(questions):
            if question.entry and self._needs_states(question):
                shown[row] = self.index.open_picture(question.entry)
            elif question.entry:
                kept[row] = question.entry
        if shown:
            seen |= zip(shown, single_rows(self.encoder.see([*shown.values()])), strict=True)
        if kept:
            embeddings = self.index.embeddings([*kept.values()])
            seen |= zip(kept, single_rows(Seen.of(embeddings)), strict=True)
        return seen

    def _needs_states(self, question: Question) -> bool:
        method = self.encoder.method
        return question.kind == COMPOSED and method is not None and method.needs_states

    def _vectors(
        self,
        questions: Sequence[Question],
        asked: Sequence[Sequence[Column]],
        seen: dict[int, Seen],
    ) -> dict[tuple[int, Column], np.ndarray]:
        """[embed_dim] units, by the place of their question and their column."""
        vectors: dict[tuple[int, Column], np.ndarray] = {}
        together: dict[Column, list[int]] = defaultdict(list)
        for row, columns in enumerate(asked):
            for column in columns:
                together[column].append(row)
        for column, rows in together.items():
            texts = [questions[row].text for row in rows]
            if column == PLAIN[TEXT]:
                units = self.encoder.encode_texts(texts)
            elif column == PLAIN[PICTURE]:
                units = _units([seen[row] for row in rows])
            else:
                encoder = self.encoder.at(column.strength)
                units = encoder.encode_composed(
                    joined([seen[row] for row in rows]), texts, way=column.way
                )
            vectors |= zip(((row, column) for row in rows), np.asarray(units), strict=True)
        return vectors

    def _prompts(self, questions: Sequence[Question], seen: dict[int, Seen]) -> list[str]:
        """What the text tower is given; nothing for a picture alone."""
        prompts = [question.text for question in questions]
        rows = [row for row, question in enumerate(questions) if question.kind == COMPOSED]
        if rows:
            texts, shown = [prompts[row] for row in rows], joined([seen[row] for row in rows])
            for row, prompt in zip(rows, self.encoder.prompts(texts, shown), strict=True):
                prompts[row] = prompt
        return prompts


def require_same_eyes(card: IndexCard, encoder: CompositionEncoder) -> None:
    """Refuse an index whose pictures another backbone saw.

    Raises:
        BackboneError: both are named.
    """
    if card.image_fingerprint == encoder.image_fingerprint:
        return
    raise BackboneError(
        f"the index of {card.source} holds pictures as {card.label} sees them (image tower "
        f"{card.image_fingerprint[:12]}), and {encoder.backbone.label} is loaded (image tower "
        f"{encoder.image_fingerprint[:12]}). Load the index's own with --backbone and "
        "--pretrained, or index the pictures again with this one."
    )


def single_rows(seen: Seen) -> list[Seen]:
    """Each picture by itself."""
    return [seen.part(slice(row, row + 1)) for row in range(len(seen))]


def joined(rows: Sequence[Seen]) -> Seen:
    """Several pictures as one batch; states where all have them."""
    embedding = torch.cat([row.embedding.cpu() for row in rows])
    states = [row.states.cpu() for row in rows if row.states is not None]
    return Seen(embedding, torch.cat(states) if len(states) == len(rows) else None)


def _units(rows: Sequence[Seen]) -> np.ndarray:
    return F.normalize(joined(rows).embedding.float(), dim=-1).numpy()


def _shown(hits: Sequence[Hit], question: Question) -> tuple[Hit, ...]:
    return tuple(hit for hit in hits if hit.id != question.entry)[: question.k]
