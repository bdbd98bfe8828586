"""The store on a server: PostgreSQL with its extension pgvector."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from rtd_adapters.errors import FileError, UsageError, first_line
from rtd_adapters.search.index import store as seam
from rtd_adapters.search.index.card import Saved
from rtd_adapters.search.index.records import Entry, Hit, Row, State

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMES = ("postgresql://", "postgres://")
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
CARDS = "rtd_indexes"
"""The table that has every index's card."""
PLAIN_MOST = 1900
"""Numbers of a vector that fits in a page of 8 KB; a longer one lies outside its row."""
GROWTH = 1.5
WAIT_SECONDS = 10
MEMORY = "512MB"
"""For making the approximate index."""


class PostgresStore:
    """A table of a PostgreSQL database and a card in another; every write is a transaction.

    Args:
        address: as libpq takes it, and a name for the index after #, `pictures` where none stands.

    Raises:
        UsageError: psycopg is not installed, the name is none, or the address has a password in it.
    """

    def __init__(self, address: str) -> None:
        self._psycopg = _psycopg()
        self.where = address
        self._address, _, name = address.partition("#")
        self._name = name or "pictures"
        if not NAME.fullmatch(self._name):
            raise UsageError(
                f"#{name} is no name for an index. Use up to 40 small letters, digits and _, the "
                "first a letter."
            )
        if urlsplit(self._address).password:
            raise UsageError(
                "the store's address has a password in it, which others would see. Put it into "
                "~/.pgpass or $PGPASSWORD, and leave it out of the address."
            )
        self._table = f"rtd_{self._name}"
        self._mine = threading.local()

    def card(self) -> Saved | None:
        """As in `Store`."""
        with self._transaction() as connection:
            if not self._there(connection, CARDS):
                return None
            query = f"SELECT card FROM {CARDS} WHERE name = %s"
            found = connection.execute(query, [self._name]).fetchone()
        return Saved.of(found[0], self.where) if found else None

    def begin(self, card: Saved) -> None:
        """As in `Store`."""
        with self._transaction() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {CARDS} (name text PRIMARY KEY, card jsonb NOT NULL)"
            )
            if not self._there(connection, self._table):
                connection.execute(
                    f"CREATE TABLE {self._table} (id text PRIMARY KEY, size bigint NOT NULL, "
                    "stamp bigint NOT NULL, width int NOT NULL, height int NOT NULL, "
                    f"embedding vector({card.embed_dim}) NOT NULL, thumbnail bytea NOT NULL)"
                )
                if card.embed_dim <= PLAIN_MOST:
                    connection.execute(
                        f"ALTER TABLE {self._table} ALTER embedding SET STORAGE PLAIN"
                    )
            connection.execute(
                f"INSERT INTO {CARDS} VALUES (%s, %s) "
                "ON CONFLICT (name) DO UPDATE SET card = EXCLUDED.card",
                [self._name, json.dumps(card.to_dict())],
            )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """As in `Store`: a lock of the server's, which goes with the connection."""
        with self._told():
            connection = self._connected()
            connection.autocommit = True
            query = "SELECT pg_try_advisory_lock(hashtext(%s))"
            taken = connection.execute(query, [self._table]).fetchone()
            if not (taken and taken[0]):
                connection.close()
                raise FileError(
                    f"{self.where} is being written by another run. Wait for it, stop it, or name "
                    "another place."
                )
        try:
            yield
        finally:
            connection.close()

    def count(self) -> int:
        """As in `Store`."""
        return self._rows("SELECT count(*) FROM {table}")[0][0]

    def states(self) -> dict[str, State]:
        """As in `Store`."""
        rows = self._rows("SELECT id, size, stamp FROM {table}")
        return {id_: State(size, stamp) for id_, size, stamp in rows}

    def put(self, rows: Sequence[Row]) -> None:
        """As in `Store`."""
        with self._transaction() as connection:
            ids = [row.id for row in rows]
            connection.execute(f"DELETE FROM {self._table} WHERE id = ANY(%s)", [ids])
            copy = f"COPY {self._table} FROM STDIN (FORMAT BINARY)"
            with connection.cursor().copy(copy) as lines:
                lines.set_types(["text", "int8", "int8", "int4", "int4", "bytea", "bytea"])
                for row in rows:
                    shape = (row.state.size, row.state.stamp, row.width, row.height)
                    lines.write_row((row.id, *shape, _sent(row.embedding), row.thumbnail))

    def remove(self, ids: Sequence[str]) -> None:
        """As in `Store`."""
        if ids:
            with self._transaction() as connection:
                query = f"DELETE FROM {self._table} WHERE id = ANY(%s)"
                connection.execute(query, [list(ids)])

    def settle(self) -> None:
        """As in `Store`. pgvector puts new pictures into the lists that there are; once there are
        half as many again as the lists were made for, the lists are made anew."""
        head, count = f"{self._table}_lists_", self.count()
        with self._transaction() as connection:
            query = "SELECT indexname FROM pg_indexes WHERE tablename = %s"
            names = [name for (name,) in connection.execute(query, [self._table])]
            old = next((name for name in names if name.startswith(head)), "")
            made_for = int(old.removeprefix(head) or 0) ** 2
            if count >= seam.FEWEST and count > GROWTH * made_for:
                lists = seam.lists_for(count)
                if old:
                    connection.execute(f"DROP INDEX {old}")
                connection.execute(f"SET LOCAL maintenance_work_mem = '{MEMORY}'")
                connection.execute(
                    f"CREATE INDEX {head}{lists} ON {self._table} "
                    f"USING ivfflat (embedding vector_cosine_ops) WITH (lists = {lists})"
                )
            connection.execute(f"ANALYZE {self._table}")

    def search(self, vectors: np.ndarray, k: int, *, exact: bool) -> list[list[Hit]]:
        """As in `Store`."""
        query = (
            f"SELECT id, 1 - (embedding <=> %s::vector) FROM {self._table} "
            f"ORDER BY embedding <=> %s::vector LIMIT {int(k)}"
        )
        hits = []
        with self._transaction() as connection:
            connection.execute(f"SET LOCAL enable_indexscan = {'off' if exact else 'on'}")
            connection.execute(f"SET LOCAL ivfflat.probes = {seam.PROBES}")
            for vector in vectors:
                text = "[" + ",".join(map(repr, vector.tolist())) + "]"
                # A prepared query would keep the plan that it had for the other way to search.
                found = connection.execute(query, [text, text], prepare=False)
                hits.append([Hit(id_, score) for id_, score in found])
        return hits

    def entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        """As in `Store`."""
        rows = self._rows("SELECT id, width, height FROM {table} WHERE id = ANY(%s)", list(ids))
        return {id_: Entry(id_, width, height, "") for id_, width, height in rows}

    def embeddings(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """As in `Store`."""
        query = "SELECT id, vector_send(embedding) FROM {table} WHERE id = ANY(%s)"
        return {id_: _received(data) for id_, data in self._rows(query, list(ids))}

    def thumbnails(self, ids: Sequence[str]) -> dict[str, bytes]:
        """As in `Store`."""
        rows = self._rows("SELECT id, thumbnail FROM {table} WHERE id = ANY(%s)", list(ids))
        return {id_: bytes(data) for id_, data in rows}

    def page(self, start: int, count: int) -> list[Entry]:
        """As in `Store`; by id."""
        query = "SELECT id, width, height FROM {table} ORDER BY id LIMIT %s OFFSET %s"
        rows = self._rows(query, count, start)
        return [Entry(id_, width, height, "") for id_, width, height in rows]

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._transaction() as connection:
            return connection.execute(query.format(table=self._table), values).fetchall()

    @staticmethod
    def _there(connection: Connection, table: str) -> bool:
        found = connection.execute("SELECT to_regclass(%s)", [table]).fetchone()
        return bool(found and found[0])

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """This thread's connection, in a transaction; a lost one is opened again next time."""
        with self._told():
            connection = getattr(self._mine, "connection", None)
            if connection is None or connection.closed:
                connection = self._mine.connection = self._connected()
            with connection.transaction():
                yield connection

    def _connected(self) -> Connection:
        return self._psycopg.connect(
            self._address, connect_timeout=WAIT_SECONDS, application_name="rtd-adapters"
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The server's failures, in our words."""
        try:
            yield
        except self._psycopg.OperationalError as error:
            raise FileError(
                f"the store at {self.where} does not answer ({first_line(error)}). Start it, or "
                "check the address; what was written before is kept, and the same command goes on "
                "from there."
            ) from error
        except self._psycopg.Error as error:
            raise FileError(
                f"the store at {self.where} refuses ({first_line(error)}). It needs the extension "
                "pgvector and the right to make tables."
            ) from error


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            'PostgreSQL is reached by psycopg, which is not installed: pip install "rtd-adapters'
            '[search]".'
        ) from error
    return psycopg


def _sent(row: np.ndarray) -> bytes:
    """A vector as pgvector's binary form has it: its length, two bytes of nothing, the numbers."""
    return len(row).to_bytes(2, "big") + bytes(2) + row.astype(">f4").tobytes()


def _received(data: bytes) -> np.ndarray:
    return np.frombuffer(data, ">f4", offset=4).astype(np.float32)
