"""What a folder of `rtd adapt` holds, and of which question: how a killed run knows its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.io.entries import Entry
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.io.json_files import read_json, write_json
from rtd_adapters.jobs.questions import Question, settled_question

NAME = "adapt.json"
REMEDY = "Choose another --out."


@dataclass
class Ledger:
    """The file in which a run notes what each of its files is made of, and that it is made."""

    path: Path
    asked: dict[str, Question] = field(default_factory=dict)
    """Name of a file -> all that decides it."""
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name of a file that is whole -> its sha256, and what there is to say of it."""

    @classmethod
    def opened(cls, folder: Path) -> Ledger:
        """That of a folder, which is made where there is none.

        Raises:
            FileError: it is no folder, others keep files in it, or it cannot be written.
        """
        path = folder / NAME
        if path.is_file():
            read = Entry(str(path), read_json(path), REMEDY)
            asked, made = read.entry("asked"), read.entry("made")
            return cls(
                path,
                {name: dict(asked.entry(name).value) for name in asked},
                {name: _told(made.entry(name)) for name in made},
            )
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise FileError(
                f"{folder} holds something else than an earlier run of rtd adapt. {REMEDY}"
            )
        ledger = cls(path)
        ledger._save()
        return ledger

    def is_made(self, name: str, question: Mapping[str, Any]) -> bool:
        """Whether a file is there already; where it is not, its question is noted.

        Raises:
            FileError: it is made of another question, it is not the one that was made, or the disk
                refuses.
        """
        folder = self.path.parent
        before = self.asked.get(name)
        self.asked[name] = settled_question(before, question, name, folder, "made")
        if name in self.made and (folder / name).is_file():
            if file_sha256(folder / name) == self.made[name]["sha256"]:
                return True
            raise FileError(
                f"{folder / name} is not what rtd adapt wrote there. Put that back, or remove the "
                "file: it is made again."
            )
        self.made.pop(name, None)
        self._save()
        return False

    def note(self, name: str, about: Mapping[str, Any]) -> None:
        """Keep that a file is whole.

        Raises:
            FileError: the disk refuses.
        """
        self.made[name] = {"sha256": file_sha256(self.path.parent / name), **about}
        self._save()

    def _save(self) -> None:
        write_json(self.path, {"asked": self.asked, "made": self.made})


def _told(read: Entry) -> dict[str, Any]:
    return {**read.value, "sha256": read.text("sha256")}
