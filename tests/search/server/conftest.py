"""Sixty pictures of the built-in world in a folder, indexed, and a server over them."""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from dataclasses import dataclass

import pytest

for library in ("lancedb", "fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(library, reason="the extra `search` is not installed")

COUNT = 60


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder of pictures, some of them in a folder below it."""
    from rtd_adapters.demo.pictures import write_pictures

    root = tmp_path_factory.mktemp("own") / "pictures"
    write_pictures(root, COUNT)
    (root / "more & more").mkdir()
    for number in range(50, COUNT):
        (root / f"{number:05}.png").rename(root / "more & more" / f"{number:05}.png")
    return root


@pytest.fixture(scope="session")
def place(folder, tmp_path_factory):
    """Their index."""
    from rtd_adapters.jobs.index import IndexJob, run_index
    from rtd_adapters.search.index.building import Looking

    out = tmp_path_factory.mktemp("own") / "index"
    run_index(IndexJob(str(folder), out, backbone="demo", how=Looking(quiet=True)))
    return out


@pytest.fixture(scope="session")
def backbone():
    from rtd_adapters.clip.backbones import load_backbone

    return load_backbone("demo")


@pytest.fixture(scope="session")
def patch_file(backbone, tmp_path_factory):
    """A patch that changes results: noise on every tensor."""
    from shaken_patches import shaken_patch

    path = tmp_path_factory.mktemp("patch") / "weights.safetensors"
    shaken_patch(backbone).save(path)
    return path


@pytest.fixture(scope="session")
def searcher(place, patch_file):
    from rtd_adapters.jobs.search import SearchInputs, load_searcher

    return load_searcher(SearchInputs(str(place), patch=patch_file, device="cpu"))


@pytest.fixture(scope="session")
def plain_searcher(place):
    """Without a patch."""
    from rtd_adapters.jobs.search import SearchInputs, load_searcher

    return load_searcher(SearchInputs(str(place), device="cpu"))


@dataclass(frozen=True)
class Said:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message, and nothing but a message."""
        assert list(self.json) == ["error"]
        return self.json["error"]


@dataclass(frozen=True)
class Client:
    """Speaks HTTP to a server of this machine, without a library that knows better."""

    port: int

    def __call__(self, method, path, body=None, **headers) -> Said:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        said = Said(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return said

    def get(self, path, **headers) -> Said:
        return self("GET", path, **headers)

    def search(self, *, picture: bytes | None = None, headers=None, **fields) -> Said:
        """POST /api/search; a field may have several values."""
        if picture is None and not fields:
            return self("POST", "/api/search", b"", **(headers or {}))
        mark = uuid.uuid4().hex
        parts = []
        for name, values in fields.items():
            for value in values if isinstance(values, (list, tuple)) else [values]:
                head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
                parts.append(f"{head}{value}\r\n".encode())
        if picture is not None:
            head = 'Content-Disposition: form-data; name="picture"; filename="../../x.png"'
            parts.append(f"--{mark}\r\n{head}\r\n\r\n".encode() + picture + b"\r\n")
        body = b"".join([*parts, f"--{mark}--\r\n".encode()])
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return self("POST", "/api/search", body, **kind, **(headers or {}))


@pytest.fixture(scope="module")
def served():
    """Serves a searcher until the module's tests end, for others stop the clock; gives a client."""
    import uvicorn

    from rtd_adapters.search.server.app import build_app, guarded_app
    from rtd_adapters.search.server.run import listening

    running = []

    def serve(searcher, **settings) -> Client:
        opened = listening("127.0.0.1", 0)
        own = opened.__enter__()
        app = guarded_app(build_app(searcher, **settings))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
        thread = threading.Thread(target=server.run, args=([own],), daemon=True)
        thread.start()
        running.append((server, thread, opened))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        return Client(own.getsockname()[1])

    yield serve
    for server, thread, opened in running:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
        opened.__exit__(None, None, None)


@pytest.fixture(scope="module")
def client(served, searcher):
    """A server with a patch."""
    return served(searcher)


@pytest.fixture(scope="module")
def plain_client(served, plain_searcher):
    """A server without one."""
    return served(plain_searcher, note="No patch is loaded: `rtd patch` learns one.")
