"""Where an index's pictures come from: a folder of one's own, or a benchmark's gallery."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.annotations import inside
from rtd_adapters.evaluation.benchmark import Benchmark, load_benchmark
from rtd_adapters.evaluation.folders import SUFFIXES, OwnFiles, picture_tree
from rtd_adapters.io.pictures import upright_picture
from rtd_adapters.search.index.archives import (
    ENDINGS,
    archive_listing,
    archive_member,
    is_archive,
)
from rtd_adapters.search.index.records import Broken, Listing, State

if TYPE_CHECKING:
    from PIL.Image import Image


class Source(Protocol):
    """Where pictures come from."""

    name: str
    """The folder or benchmark, as `IndexCard.source` has it."""

    def listing(self) -> Listing:
        """All its pictures, sorted by id."""

    def open(self, id_: str) -> Image:
        """A picture in RGB; FileError where it is gone or damaged."""

    def path(self, id_: str) -> str:
        """Where the original lies, as `Entry.path` has it."""


def source_named(name: str) -> Source:
    """The source of an index, by what its card says.

    Raises:
        UsageError: no benchmark of that name is installed.
    """
    path = Path(name)
    return FolderPictures(path) if path.is_absolute() else GalleryPictures(name)


class FolderPictures:
    """The pictures in a folder and all that is below it.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._own = OwnFiles(self._root)
        self.name = str(self._root)

    def listing(self) -> Listing:
        """As in `Source`.

        Raises:
            FileError: there is no such folder, a part of it cannot be read or is a link, or a
                name is no text.
        """
        if not self._root.is_dir():
            raise FileError(f"{self._root} is no folder. Name one that holds pictures.")
        found = Listing()
        for id_ in picture_tree(self._root, self._root, (*SUFFIXES, *ENDINGS)):
            try:
                path = self._inside(id_)
                if is_archive(id_):
                    archive = archive_listing(path, id_)
                    found.states.update(archive.states)
                    found.broken.extend(archive.broken)
                else:
                    about = path.stat()
                    found.states[id_] = State(about.st_size, about.st_mtime_ns)
            except OSError as error:
                found.broken.append(Broken(id_, f"{id_} cannot be read ({error.strerror})."))
            except FileError as error:
                found.broken.append(Broken(id_, str(error)))
        return found

    def open(self, id_: str) -> Image:
        """As in `Source`."""
        file, member = self._split(id_)
        path = self._inside(file)
        return upright_picture(archive_member(path, member) if member else path, id_)

    def _split(self, id_: str) -> tuple[str, str]:
        """The file that holds a picture, and the picture's name in it where it is an archive."""
        parts = id_.split("/")
        for end in range(1, len(parts)):
            file = "/".join(parts[:end])
            if is_archive(file) and (self._root / file).is_file():
                return file, "/".join(parts[end:])
        return id_, ""

    def _inside(self, id_: str) -> Path:
        """The path of a file.

        Raises:
            FileError: it leads out of the folder.
        """
        path = inside(self._root, id_, "the index")
        if self._own.leaves(path):
            raise FileError(f"{id_} is a link that leads out of {self._root}.")
        return path

    def path(self, id_: str) -> str:
        """As in `Source`."""
        return f"{self.name}/{id_}"


class GalleryPictures:
    """The galleries of an installed benchmark that needs no data, such as the built-in world's.

    Args:
        name: of the benchmark.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def _benchmark(self) -> Benchmark:
        return load_benchmark(self.name)

    def listing(self) -> Listing:
        """As in `Source`."""
        ids = (image for part in self._benchmark.parts for image in part.gallery)
        return Listing(dict.fromkeys(ids, State(0, 0)))

    def open(self, id_: str) -> Image:
        """As in `Source`."""
        return self._benchmark.open_image(id_)

    def path(self, id_: str) -> str:
        """As in `Source`."""
        return ""
