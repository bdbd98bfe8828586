"""The embedded store: a table of LanceDB in a folder, mapped from disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rtd_adapters.errors import FileError, UsageError, first_line
from rtd_adapters.io.atomic import system_error
from rtd_adapters.io.json_files import read_json, write_json
from rtd_adapters.io.locks import claimed
from rtd_adapters.search.index import store as seam
from rtd_adapters.search.index.card import Saved
from rtd_adapters.search.index.records import Entry, Hit, Row, State

if TYPE_CHECKING:
    import pyarrow

CARD = "index.json"
LARGEST = 1 << 20
"""Bytes of it."""
TABLE = "pictures"
ID_INDEX, VECTOR_INDEX = "ids", "lists"
STALE = 0.1
ROUNDS, SAMPLE = 10, 64
"""Of the clustering into lists: rounds, and pictures a list that it looks at."""
EVERY = 1 << 20
"""More lists than there are."""
AT_ONCE = 1000
"""Ids that one question names at most."""
FRESH = timedelta(seconds=1)
"""How old what a reader sees may be."""
KEPT = timedelta(minutes=5)
"""How long a version of a small table outlives the next, for those who are reading it."""
LEAVING = 2.0
"""Seconds in which every reader comes to a newer version; then what only older ones of a large
table need goes: it is as large again."""
SHAPE = ["id", "width", "height"]


class LanceStore:
    """A table of LanceDB and a card beside it. Every write is one new version of the table: a
    killed one leaves the version before it, and a reader keeps the version that it has.

    Args:
        folder: of the index.

    Raises:
        UsageError: LanceDB is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder
        self._lancedb = _lancedb()

    def card(self) -> Saved | None:
        """As in `Store`."""
        path = self._folder / CARD
        if not path.is_file():
            return None
        return Saved.of(read_json(path, largest=LARGEST), self.where)

    def begin(self, card: Saved) -> None:
        """As in `Store`."""
        with self._told():
            self._database.create_table(TABLE, schema=_schema(card.embed_dim), exist_ok=True)
        write_json(self._folder / CARD, card.to_dict())

    def claimed(self) -> AbstractContextManager[None]:
        """As in `Store`."""
        return claimed(self._folder)

    def count(self) -> int:
        """As in `Store`."""
        with self._told():
            return self._table.count_rows()

    def states(self) -> dict[str, State]:
        """As in `Store`."""
        with self._told():
            found = self._table.search().select(["id", "size", "stamp"]).to_arrow()
        sizes, stamps = found["size"].to_pylist(), found["stamp"].to_pylist()
        return dict(zip(found["id"].to_pylist(), map(State, sizes, stamps), strict=True))

    def put(self, rows: Sequence[Row]) -> None:
        """As in `Store`."""
        if not rows:
            return
        with self._told():
            merge = self._table.merge_insert("id").when_matched_update_all()
            merge.when_not_matched_insert_all().execute(self._arrow(rows))

    def remove(self, ids: Sequence[str]) -> None:
        """As in `Store`."""
        if ids:
            with self._told():
                self._table.delete(_among(ids))

    def settle(self) -> None:
        """As in `Store`. The approximate index is made anew where a tenth of the pictures is not in
        it; until then those are compared one by one. LanceDB's own way to add to it
        (`Table.optimize`) joins lists, and in 0.40 warned of some that it left out."""
        from lancedb.index import BTree, IvfFlat

        with self._told():
            count, table = self._table.count_rows(), self._table
            if VECTOR_INDEX in {index.name for index in table.list_indices()}:
                if table.index_stats(VECTOR_INDEX).num_unindexed_rows <= count * STALE:
                    return
                table.drop_index(VECTOR_INDEX)
            table.create_index("id", config=BTree(), name=ID_INDEX, replace=True)
            if count < seam.FEWEST:
                table.optimize(cleanup_older_than=KEPT)
                return
            table.optimize()
            time.sleep(LEAVING)
            table.optimize(cleanup_older_than=FRESH)
            lists = seam.lists_for(count)
            kind = IvfFlat("cosine", lists, max_iterations=ROUNDS, sample_rate=SAMPLE)
            table.create_index("embedding", config=kind, name=VECTOR_INDEX)

    def search(self, vectors: np.ndarray, k: int, *, exact: bool) -> list[list[Hit]]:
        """As in `Store`. Lists that are all looked through are in memory, where a scan of the
        table would read it from the disk's cache each time; the result is the same."""
        with self._told():
            query = self._table.search(list(vectors), "embedding").distance_type("cosine")
            query = query.nprobes(EVERY if exact else seam.PROBES)
            found = query.select(["id", "_distance"]).limit(k).to_arrow()
        hits: list[list[Hit]] = [[] for _ in vectors]
        places = found["query_index"].to_pylist() if "query_index" in found.column_names else None
        for place, id_, distance in zip(
            places or [0] * len(found),
            found["id"].to_pylist(),
            found["_distance"].to_pylist(),
            strict=True,
        ):
            hits[place].append(Hit(id_, 1 - distance))
        for own in hits:
            own.sort(key=lambda hit: (-hit.score, hit.id))
        return hits

    def entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        """As in `Store`."""
        return {entry.id: entry for part in self._of(ids, SHAPE) for entry in _entries(part)}

    def embeddings(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """As in `Store`."""
        found: dict[str, np.ndarray] = {}
        for part in self._of(ids, ["id", "embedding"]):
            flat = part["embedding"].combine_chunks().flatten()
            rows = np.asarray(flat).reshape(-1, part.schema.field("embedding").type.list_size)
            found.update(zip(part["id"].to_pylist(), rows, strict=True))
        return found

    def thumbnails(self, ids: Sequence[str]) -> dict[str, bytes]:
        """As in `Store`."""
        found: dict[str, bytes] = {}
        for part in self._of(ids, ["id", "thumbnail"]):
            found.update(zip(part["id"].to_pylist(), part["thumbnail"].to_pylist(), strict=True))
        return found

    def page(self, start: int, count: int) -> list[Entry]:
        """As in `Store`."""
        with self._told():
            query = self._table.search().select(SHAPE).offset(start).limit(count)
            return _entries(query.to_arrow())

    def _of(self, ids: Sequence[str], columns: list[str]) -> Iterator[pyarrow.Table]:
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            with self._told():
                query = self._table.search().where(_among(part)).select(columns)
                found = query.limit(len(part)).to_arrow()
            yield found

    def _arrow(self, rows: Sequence[Row]) -> pyarrow.Table:
        import pyarrow

        width = len(rows[0].embedding)
        flat = np.concatenate([row.embedding for row in rows]).astype(np.float32)
        columns = [
            [row.id for row in rows],
            [row.state.size for row in rows],
            [row.state.stamp for row in rows],
            [row.width for row in rows],
            [row.height for row in rows],
            pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat), width),
            [row.thumbnail for row in rows],
        ]
        return pyarrow.table(columns, schema=_schema(width))

    @cached_property
    def _database(self) -> Any:
        return self._lancedb.connect(self._folder, read_consistency_interval=FRESH)

    @cached_property
    def _table(self) -> Any:
        return self._database.open_table(TABLE)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The engine's failures, in our words."""
        try:
            yield
        except Exception as error:  # where files are damaged it panics, by a class of its own
            refusal = error if isinstance(error, OSError) and error.errno else system_error(error)
            if refusal is not None:
                raise FileError(
                    f"the index in {self._folder} cannot be written: {refusal.strerror}. What was "
                    "written before is kept: free some space, and run the same command again."
                ) from error
            raise FileError(
                f"the index in {self._folder} is damaged, or was written by a newer LanceDB "
                f"({first_line(error)[:200]}). Make it anew with rtd index."
            ) from error


def _lancedb() -> Any:
    os.environ.setdefault("LANCEDB_LOG", "error")
    try:
        import lancedb
    except ImportError as error:
        raise UsageError(
            'an index is kept by LanceDB, which is not installed: pip install "rtd-adapters'
            '[search]".'
        ) from error
    return lancedb


def _schema(embed_dim: int) -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema(
        [
            pyarrow.field("id", pyarrow.string(), nullable=False),
            pyarrow.field("size", pyarrow.int64(), nullable=False),
            pyarrow.field("stamp", pyarrow.int64(), nullable=False),
            pyarrow.field("width", pyarrow.int32(), nullable=False),
            pyarrow.field("height", pyarrow.int32(), nullable=False),
            pyarrow.field("embedding", pyarrow.list_(pyarrow.float32(), embed_dim)),
            pyarrow.field("thumbnail", pyarrow.binary(), nullable=False),
        ]
    )


def _among(ids: Sequence[str]) -> str:
    quoted = ", ".join("'" + id_.replace("'", "''") + "'" for id_ in ids)
    return f"id IN ({quoted})"


def _entries(found: pyarrow.Table) -> list[Entry]:
    columns = (found[name].to_pylist() for name in SHAPE)
    return [Entry(id_, width, height, "") for id_, width, height in zip(*columns, strict=True)]
