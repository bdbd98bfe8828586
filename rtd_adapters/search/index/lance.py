"""The embedded store: a table of LanceDB in a folder, mapped from disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rtd_adapters.errors import FileError, UsageError, first_line
from rtd_adapters.search.index.records import Entry, Hit, Row, State

if TYPE_CHECKING:
    import pyarrow

TABLE = "pictures"
AT_ONCE = 1000
"""Ids that one question names at most."""
FRESH = timedelta(seconds=1)
"""How old what a reader sees may be."""
KEPT = timedelta(minutes=5)
"""How long a version outlives the next, for those who are reading it."""
SHAPE = ["id", "width", "height"]


class LanceStore:
    """A table of LanceDB. Every write is one new version of the table: a killed one leaves the
    version before it."""

    def __init__(self, folder: Path, embed_dim: int) -> None:
        """Open the table, or make an empty one.

        Raises:
            UsageError: LanceDB is not installed.
            FileError: the table is damaged, or the disk refuses.
        """
        lancedb = _lancedb()
        self._folder, self._dim = folder, embed_dim
        with self._told():
            database = lancedb.connect(folder, read_consistency_interval=FRESH)
            self._table = database.create_table(TABLE, schema=_schema(embed_dim), exist_ok=True)

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
        """As in `Store`."""
        with self._told():
            if self._table.count_rows():
                self._table.create_scalar_index("id", replace=True)
            self._table.optimize(cleanup_older_than=KEPT)

    def search(self, vectors: np.ndarray, k: int, *, exact: bool) -> list[list[Hit]]:
        """As in `Store`."""
        with self._told():
            query = self._table.search(list(vectors)).distance_type("cosine")
            if exact:
                query = query.bypass_vector_index()
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
            rows = np.asarray(flat).reshape(-1, self._dim)
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

        flat = np.concatenate([row.embedding for row in rows]).astype(np.float32)
        columns = [
            [row.id for row in rows],
            [row.state.size for row in rows],
            [row.state.stamp for row in rows],
            [row.width for row in rows],
            [row.height for row in rows],
            pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat), self._dim),
            [row.thumbnail for row in rows],
        ]
        return pyarrow.table(columns, schema=_schema(self._dim))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The engine's failures, in our words."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise FileError(
                f"the store in {self._folder} failed: {first_line(error)[:300]}. If the disk is "
                "full, free some space and run the same command again; if the index was copied or "
                "changed by hand, make it anew."
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
