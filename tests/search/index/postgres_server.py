"""A PostgreSQL with pgvector for tests, on a port and in a folder of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def running(port: int | None = None, data: Path | None = None) -> Iterator[tuple[str, Path]]:
    """The server's address, and its folder; `data` is the folder of one that ran before."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    commands = pytest.importorskip(
        "pgserver._commands", reason="pgserver is not installed: no PostgreSQL with pgvector"
    )
    folder = data or Path(tempfile.mkdtemp(prefix="rtd-postgres-"))
    port = port or _free_port()
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    made = {"user": user, "cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    binaries = commands.POSTGRES_BIN_PATH
    if data is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        if user:
            shutil.chown(folder, user)
        auth = ["-U", "rtd", "-A", "trust", "--no-sync"]
        subprocess.run([binaries / "initdb", *auth, "-D", folder], check=True, **made)
    settings = ["-p", str(port), "-k", str(folder), "-c", "fsync=off"]
    with subprocess.Popen([binaries / "postgres", "-D", folder, *settings], **made) as server:
        try:
            _wait(binaries, port)
            yield f"postgresql://rtd@127.0.0.1:{port}/postgres", folder
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for those who are connected


def _wait(binaries: Path, port: int) -> None:
    for _ in range(200):
        ask = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(ask, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
