"""What the JSON API says, field by field; OpenAPI is written from it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="What was wrong, and what to do.")


class HitModel(BaseModel):
    """A picture that was found."""

    id: str = Field(description="Of the picture in the index.")
    score: float = Field(description="Cosine of query and picture.")


class ColumnModel(BaseModel):
    """What one way of asking found."""

    name: str = Field(description="base, patched, strength 0.5, sum, slerp, text, picture, ...")
    about: str = Field(description="What the column is, in a line.")
    strength: float = Field(description="Of the patch in the text tower; 0 is the base tower.")
    hits: list[HitModel] = Field(description="Best first; the reference itself is left out.")


class AnswerModel(BaseModel):
    """What a question found."""

    kind: str = Field(description="composed, text, or picture: what was asked.")
    prompt: str = Field(
        description="What the text tower was given. The method's placeholder in it stands for the "
        "picture's pseudo token."
    )
    placeholder: str = Field(description="The sign for the pseudo token; empty where none is.")
    columns: list[ColumnModel]


class PatchModel(BaseModel):
    """The patch that is loaded."""

    title: str = Field(description="What it is, in a line.")
    strength: float = Field(description="That the page begins with.")


class AboutModel(BaseModel):
    """What is searched, and by what."""

    source: str = Field(description="The folder's name, or the benchmark's.")
    pictures: int = Field(description="How many.")
    backbone: str
    method: str = Field(description="Empty where none is loaded, and nothing can be composed.")
    patch: PatchModel | None = Field(description="null where there is none.")
    rivals: list[str] = Field(description="What `rivals` of a search may name.")
    most_results: int = Field(description="The most that `k` may be.")
    most_bytes: int = Field(description="Of an upload.")
    note: str = Field(description="What the page's user should know; may be empty.")


class EntryModel(BaseModel):
    """A picture of the index."""

    id: str
    width: int = Field(description="In pixels.")
    height: int = Field(description="In pixels.")


class EntriesModel(BaseModel):
    """Some pictures of the index, in its order."""

    pictures: int = Field(description="How many there are in all.")
    entries: list[EntryModel]
