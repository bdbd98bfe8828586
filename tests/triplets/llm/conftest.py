"""A server, and captions to ask it about."""

from __future__ import annotations

import threading

import pytest
from model_server import Model


@pytest.fixture
def model():
    server = Model()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("".join(f"dog {n}\n" for n in range(24)) + "\nDOG 3\n")
    return path
