"""Where an index is kept: a folder, or a server's address."""

from __future__ import annotations

from pathlib import Path

from rtd_adapters.errors import UsageError
from rtd_adapters.search.index.lance import LanceStore
from rtd_adapters.search.index.postgres import SCHEMES, PostgresStore
from rtd_adapters.search.index.store import Store


def store_at(where: str | Path) -> Store:
    """The store at a place; nothing is written or asked yet.

    Args:
        where: a folder, or `postgresql://HOST/DATABASE#NAME`.

    Raises:
        UsageError: the address is none that rtd knows, or its engine's library is not installed.
    """
    if "://" not in str(where):
        return LanceStore(Path(where))
    address = str(where)
    if address.startswith(SCHEMES):
        return PostgresStore(address)
    raise UsageError(
        f"{address.partition('://')[0]}:// is no store that rtd knows. Use a folder, or "
        "postgresql://HOST/DATABASE#NAME, a PostgreSQL with pgvector."
    )
