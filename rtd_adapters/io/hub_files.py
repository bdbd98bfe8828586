"""Files on Hugging Face's Hub, named as its own client names them: hf://owner/name@revision/file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from rtd_adapters.errors import FileError, UsageError, first_line

SCHEME = "hf://"
PATCH_FILE = "patch.safetensors"
"""What a patch is called there, where no file is named."""
FORM = "hf://owner/name, hf://owner/name@revision or hf://owner/name/file"
_REPOSITORY = r"(?P<repository>\w[\w.-]*/\w[\w.-]*?)(?:@(?P<revision>[^/@\s]+))?"
# A Path makes one slash of two.
_PLACE = re.compile(rf"hf:/{{1,2}}(?P<datasets>datasets/)?{_REPOSITORY}(?:/(?P<file>.+))?")
_PLAIN = re.compile(_REPOSITORY)
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z]\w*$")
"""Of a file's name. A repository's may end in a number, as in rtd-v1.5."""
_WEIGHTS = ["*.safetensors", "*.json", "*.txt", "*.model"]
"""What a folder of transformers needs: weights without code, settings, tokenizers."""
T = TypeVar("T")


@dataclass(frozen=True)
class HubPlace:
    """A repository on the Hub, or a file in it."""

    repository: str
    """`owner/name`."""
    revision: str | None = None
    """Branch, tag or commit; None is the main branch."""
    file: str | None = None
    datasets: bool = False
    """Whether it is a data set's repository, not a model's."""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        file = f"/{self.file}" if self.file else ""
        return f"{SCHEME}{'datasets/' * self.datasets}{self.repository}{revision}{file}"


def hub_place(source: str | Path) -> HubPlace | None:
    """The place on the Hub that a text names; None where it names something else.

    What begins with hf:// does, and so does a plain `owner/name` or `owner/name@revision` that no
    file or folder has for a path and that does not end as files do. A `/` in a revision is
    written %2F.

    Raises:
        UsageError: it begins with hf:// and is of no known form.
    """
    text = source.as_posix() if isinstance(source, Path) else source
    if text.startswith("hf:/"):
        match = _PLACE.fullmatch(text)
        if match is None or {"", ".", ".."} & set((match["file"] or "file").split("/")):
            raise UsageError(f"{text} names nothing on the Hub. Write {FORM}.")
        revision = match["revision"] and unquote(match["revision"])
        return HubPlace(match["repository"], revision, match["file"], bool(match["datasets"]))
    match = _PLAIN.fullmatch(text)
    if match is None or _ENDING.search(match["repository"]) or Path(text).exists():
        return None
    return HubPlace(match["repository"], match["revision"] and unquote(match["revision"]))


def fetched_file(source: str | Path, default: str | None = None) -> Path:
    """Where a file is on this disk; one on the Hub is fetched into the Hub's cache first.

    The newest of a branch is fetched where the Hub answers; with HF_HUB_OFFLINE or without an
    answer, what is in the cache is taken.

    Args:
        source: a path, or a place on the Hub, see `hub_place`.
        default: the file that a repository is meant to have where none is named.

    Raises:
        UsageError: a repository is named where only a file will do.
        FileError: it is not there, not to be had, or cannot be fetched.
    """
    place = hub_place(source)
    if place is None:
        return Path(source)
    file = place.file or default
    if file is None:
        raise UsageError(f"{source} is a repository. Name the file: {place}/FILE.")
    from huggingface_hub import hf_hub_download

    return Path(
        asked(
            place,
            lambda: hf_hub_download(
                place.repository,
                file,
                revision=place.revision,
                repo_type="dataset" if place.datasets else "model",
            ),
        )
    )


def fetched_folder(place: HubPlace) -> Path:
    """A model's repository as a folder of this disk: settings, tokenizer, safetensors; no code.

    Raises:
        FileError: it is not there, not to be had, or cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    folder = asked(
        place,
        lambda: snapshot_download(
            place.repository,
            revision=place.revision,
            allow_patterns=_WEIGHTS,
            ignore_patterns=["*/*"],
        ),
    )
    return Path(folder)


def asked(place: HubPlace, ask: Callable[[], T], what: str = "fetched") -> T:
    """What the Hub's client gives, its refusals in one line of ours.

    Raises:
        FileError: it refuses, whatever for; what to do is said.
    """
    from huggingface_hub import errors

    remedies = (
        (errors.GatedRepoError, "Ask for access on its page, then run `hf auth login`."),
        (errors.RepositoryNotFoundError, "Check the name; a private one needs `hf auth login`."),
        (errors.RevisionNotFoundError, "Check what stands behind the @."),
        (
            errors.LocalEntryNotFoundError,
            "It is not in the cache, and the Hub was not to be asked (HF_HUB_OFFLINE) or did not "
            "answer.",
        ),
        (errors.EntryNotFoundError, "Name a file that it has: owner/name/FILE."),
    )
    try:
        return ask()
    except Exception as error:  # of whatever library the client is built on
        for kind, remedy in remedies:
            if isinstance(error, kind):
                raise FileError(f"{place} cannot be {what}: {remedy}") from error
        raise FileError(
            f"{place} cannot be {what}: {first_line(error)}. `hf auth whoami` says whether the Hub "
            "answers, and to whom."
        ) from error
