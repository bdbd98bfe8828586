"""The server over real sockets: what it answers, and what it does not let in or out."""

from __future__ import annotations

import asyncio
import io
import shutil
import socket
import struct
import threading
import time
import zlib

import pytest
from PIL import Image
from starlette.responses import JSONResponse

from rtd_adapters.errors import FileError
from rtd_adapters.jobs.search import SearchInputs, load_searcher
from rtd_adapters.search.columns import BASE_COLUMN, patched_column, rival_columns
from rtd_adapters.search.questions import Question
from rtd_adapters.search.server import guard
from rtd_adapters.search.server.guard import Guard
from rtd_adapters.search.server.uploads import MOST_BYTES


@pytest.fixture
def picture(folder):
    return (folder / "00003.png").read_bytes()


def columns_of(said):
    return {c["name"]: [(h["id"], h["score"]) for h in c["hits"]] for c in said.json["columns"]}


def found_by(searcher, question):
    return {
        found.column.name: [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in found.hits]
        for found in searcher.ask(question).found
    }


def test_it_says_what_is_searched(client, plain_client, served, searcher):
    about = client.get("/api/about").json
    assert about["source"] == "pictures"
    assert (about["pictures"], about["backbone"], about["method"]) == (60, "demo", "searle")
    assert about["patch"]["strength"] == 1
    assert "searle" in about["patch"]["title"]
    assert served(searcher, strength=0.4).get("/api/about").json["patch"]["strength"] == 0.4
    plain = plain_client.get("/api/about").json
    assert plain["patch"] is None
    assert "`rtd patch`" in plain["note"]


def test_a_composed_query_is_the_searchers(client, searcher, picture):
    said = client.search(
        picture=picture, text="is blue", k=5, strength=[0, 0.5, 1], rivals=["sum", "slerp"]
    )
    shown = Image.open(io.BytesIO(picture)).convert("RGB")
    columns = (BASE_COLUMN, patched_column(0.5), patched_column(), *rival_columns(["sum", "slerp"]))
    assert said.status == 200
    assert columns_of(said) == found_by(searcher, Question("is blue", shown, k=5, columns=columns))
    assert said.json["prompt"] == "a photo of $ that is blue"
    assert said.json["placeholder"] == "$"
    assert [column["strength"] for column in said.json["columns"]] == [0, 0.5, 1, 0, 0]


def test_base_and_patched_are_shown_where_nothing_else_is_asked(client, plain_client):
    assert list(columns_of(client.search(entry="00001.png", text="is red"))) == ["base", "patched"]
    again = client.search(entry="00001.png", text="is red", strength=[0, 1, 0, 1]).json["columns"]
    assert [column["name"] for column in again] == ["base", "patched"]
    assert list(columns_of(plain_client.search(entry="00001.png", text="is red"))) == ["base"]


def test_texts_and_entries(client, searcher):
    said = client.search(text="two red stars", k=4)
    assert columns_of(said) == found_by(searcher, Question("two red stars", k=4))
    assert (said.json["kind"], said.json["placeholder"]) == ("text", "")
    said = client.search(entry="more & more/00055.png")
    assert columns_of(said) == found_by(searcher, Question(entry="more & more/00055.png", k=12))
    assert len(columns_of(said)["picture"]) == 12


def test_it_says_how_long_it_took(client):
    timing = client.search(text="a star").headers["server-timing"]
    names = [part.split(";dur=") for part in timing.split(", ")]
    assert [name for name, _ in names] == ["encode", "search"]
    assert all(float(milliseconds) > 0 for _, milliseconds in names)


def test_a_picture_that_comes_again_is_not_looked_at_again(client, searcher, monkeypatch):
    image = io.BytesIO()
    Image.effect_noise((50, 40), 90).save(image, "PNG")
    sizes = []
    see = searcher.encoder.see
    monkeypatch.setattr(searcher.encoder, "see", lambda images: sizes.append(1) or see(images))
    first = client.search(picture=image.getvalue(), text="is blue", strength=1)
    again = client.search(picture=image.getvalue(), text="is blue", strength=1)
    assert len(sizes) == 1
    assert again.json == first.json


def test_many_at_once_get_their_own_answers(client, searcher, monkeypatch):
    batches = []
    search = searcher.index.search
    monkeypatch.setattr(
        searcher.index, "search", lambda rows, k: batches.append(len(rows)) or search(rows, k)
    )
    texts = [f"{number} {colour} stars" for number in "123" for colour in ("red", "blue", "pink")]
    found = {}

    def ask(text):
        found[text] = columns_of(client.search(text=text, k=3))

    threads = [threading.Thread(target=ask, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(batches) == len(texts)
    for text in texts:
        assert found[text] == found_by(searcher, Question(text, k=3))


def test_pictures_can_be_browsed(client, searcher):
    everything = client.get("/api/entries?count=500").json
    assert everything["pictures"] == 60
    ids = [entry["id"] for entry in everything["entries"]]
    assert len(set(ids)) == 60
    assert everything["entries"][0] == {"id": ids[0], "width": 64, "height": 64}
    part = client.get("/api/entries?start=58&count=5").json
    assert [entry["id"] for entry in part["entries"]] == ids[58:]


def test_small_pictures(client):
    said = client.get("/api/thumbnail?id=more%20%26%20more/00055.png")
    assert said.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(said.body)).size == (64, 64)


def test_openapi_describes_every_field(client):
    about = client.get("/openapi.json").json
    assert sorted(about["paths"]) == [
        "/api/about",
        "/api/entries",
        "/api/search",
        "/api/thumbnail",
    ]
    form = about["components"]["schemas"]["Body_search_api_search_post"]["properties"]
    assert sorted(form) == ["entry", "k", "picture", "rivals", "strength", "text"]
    assert all("description" in field for field in form.values())
    responses = about["paths"]["/api/search"]["post"]["responses"]
    assert sorted(responses) == ["200", "404", "408", "413", "422", "503"]
    for path in ("/docs", "/redoc"):
        assert client.get(path).status == 404


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 422, "nothing is asked"),
        ({"text": "a star", "k": 0}, 422, "k: Input should be greater"),
        ({"text": "a star", "k": 100_000}, 422, "k: Input should be less"),
        ({"text": "x" * 2000}, 422, "text: String should have at most 1000"),
        ({"text": "a", "entry": "00001.png", "strength": "nan"}, 422, "--strength is nan"),
        ({"text": "a", "entry": "00001.png", "strength": "7"}, 422, "--strength is 7"),
        ({"text": "a", "entry": "00001.png", "rivals": "hope"}, 422, "no rival 'hope'"),
        ({"text": "a", "strength": ["0.1"] * 99}, 422, "strength: List should have at most 8"),
        ({"text": "a star", "entry": "nowhere.png"}, 404, "no such picture"),
    ],
)
def test_a_question_that_cannot_be_answered(client, asked, status, words):
    said = client.search(**asked)
    assert said.status == status
    assert words in said.error


def test_a_strength_needs_a_patch(plain_client):
    said = plain_client.search(text="is red", entry="00001.png", strength=0.5)
    assert said.status == 422
    assert "no patch" in said.error


def png(width: int, height: int, lines: bytes = b"") -> bytes:
    """A file that says how large it is, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "sent",
    [
        b"%PDF-1.4 no picture",
        b"",
        png(60_000, 60_000, bytes(10_000)),
        png(12_000, 12_000, bytes(10_000)),
        png(60_000, 1, bytes(180_001)),
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
    ids=["pdf", "nothing", "bomb", "large", "narrow", "svg", "postscript"],
)
def test_a_hostile_picture(client, sent):
    said = client.search(picture=sent, text="is red" if sent else "")
    assert said.status == 422
    assert "picture" in said.error


def test_a_picture_that_breaks_off(client, folder):
    said = client.search(picture=(folder / "00003.png").read_bytes()[:200], text="is red")
    assert said.status == 422
    assert client.search(text="a star").status == 200


def test_a_gigabyte_is_refused_before_it_is_sent(client):
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as line:
        head = "POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1073741824\r\n\r\n"
        line.sendall(head.encode())
        said = line.makefile("rb").read()
    assert b" 413 " in said.splitlines()[0]
    assert b"32 MB" in said


def test_what_never_ends_is_cut_off(client):
    """No length is named; the connection ends soon after the bound."""
    head = (
        "POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    part = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
    block = bytes(1 << 20)
    sent = 0
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as line:
        line.sendall(head.encode() + f"{len(part):x}\r\n".encode() + part + b"\r\n")
        line.settimeout(10)
        try:
            while sent < 4 * MOST_BYTES:
                line.sendall(f"{len(block):x}\r\n".encode() + block + b"\r\n")
                sent += len(block)
        except OSError:
            pass
    assert sent < 2 * MOST_BYTES
    assert client.search(text="a star").status == 200


def test_what_comes_too_slowly_is_cut_off(client, monkeypatch):
    monkeypatch.setattr(guard, "MOST_SECONDS", 0.5)
    head = (
        "POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as line:
        line.sendall(head.encode() + b"--x\r\n")
        said = line.makefile("rb").read()
    assert b" 408 " in said.splitlines()[0]
    assert b"did not come within 0.5 s" in said


@pytest.mark.parametrize(
    "id_",
    [
        "../index.json",
        "/etc/passwd",
        "..%2F..%2Fetc%2Fpasswd",
        "more%20%26%20more",
        "%00",
        "' OR 1=1",
    ],
)
def test_ids_are_looked_up_and_lead_nowhere_else(client, id_):
    said = client.get(f"/api/thumbnail?id={id_.replace(' ', '%20')}")
    assert said.status == 404
    assert "no such picture in the index" in said.error


@pytest.mark.parametrize(
    "path",
    ["/../app.py", "/..%2fapp.py", "/page.css/../app.py", "/page/", "//etc/passwd", "/app.py"],
)
def test_nothing_else_of_the_disk_is_served(client, path):
    said = client.get(path)
    assert said.status == 404
    assert "nothing at this address" in said.error


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""]
)
def test_a_name_that_was_rebound_is_refused(client, host):
    for path in ("/", "/api/about", "/api/thumbnail?id=00001.png"):
        said = client.get(path, Host=host)
        assert said.status == 421
        assert host in said.error


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:99", "127.0.0.1:80", "[::1]:80", "10.0.0.7"]
)
def test_addresses_cannot_be_rebound(client, host):
    assert client.get("/api/about", Host=host).status == 200


def test_a_name_may_be_allowed():
    async def app(scope, receive, send):
        await JSONResponse("in")(scope, receive, send)

    async def status(host):
        said = []
        headers = [(b"host", host)]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}

        async def send(message):
            said.append(message)

        await Guard(app, ["My.Box"], 10)(scope, None, send)
        return said[0]["status"]

    for host, expected in ((b"my.box:80", 200), (b"MY.BOX", 200), (b"your.box", 421)):
        assert asyncio.run(status(host)) == expected


def test_other_sites_pages_are_refused(client):
    evil = {"Origin": "http://evil.example"}
    assert client.search(text="a star", headers=evil).status == 403
    assert client.get("/api/about", Origin="null").status == 403
    for path in ("/api/about", "/api/thumbnail?id=00001.png"):
        assert client.get(path, Sec_Fetch_Site="cross-site").status == 403
        navigated = client.get(path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
        assert navigated.status == 403
    assert client.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
    own = {"Origin": f"http://127.0.0.1:{client.port}", "Sec-Fetch-Site": "same-origin"}
    assert client.search(text="a star", headers=own).status == 200


def test_every_response_is_closed_to_others(client):
    responses = [
        client.get("/"),
        client.get("/api/about"),
        client.get("/nowhere"),
        client.get("/", Host="evil.example"),
        client.search(),
    ]
    assert [said.status for said in responses] == [200, 200, 404, 421, 422]
    for said in responses:
        headers = {name.lower(): value for name, value in said.headers.items()}
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not any(name.startswith("access-control") for name in headers)


def test_no_place_of_this_machine_is_told(client, folder, place):
    for said in (
        client.get("/api/about"),
        client.get("/api/entries?count=500"),
        client.get("/api/thumbnail?id=x"),
        client.search(text="a star", k=60),
        client.search(entry="x"),
    ):
        assert str(folder).encode() not in said.body
        assert str(place).encode() not in said.body


def test_a_store_that_is_down_is_said_and_comes_back(client, searcher, monkeypatch, caplog):
    def down(*asked):
        raise FileError("the store in /home/me does not answer. Start it again.")

    with monkeypatch.context() as patched:
        for name in ("search", "page", "thumbnail", "embeddings"):
            patched.setattr(searcher.index, name, down)
        for said in (
            client.search(text="a star"),
            client.search(text="is red", entry="00001.png"),
            client.get("/api/entries"),
            client.get("/api/thumbnail?id=00001.png"),
        ):
            assert said.status == 503
            assert "cannot be read for now" in said.error
            assert "/home" not in said.error
            assert said.headers["retry-after"] == "1"
    assert caplog.messages.count("the store in /home/me does not answer. Start it again.") == 4
    assert client.search(text="a star").status == 200


def test_an_index_that_is_taken_away_and_put_back(served, place, patch_file, tmp_path):
    moved, away = tmp_path / "index", tmp_path / "away"
    shutil.copytree(place, moved)
    inputs = SearchInputs(str(moved), patch=patch_file, device="cpu")
    client = served(load_searcher(inputs))
    asked = {"text": "is blue", "entry": "00001.png"}
    before = client.search(**asked).json
    moved.rename(away)
    time.sleep(1.1)  # what a reader sees may be a second old
    said = client.search(**asked)
    assert said.status == 503
    assert "cannot be read for now" in said.error
    away.rename(moved)
    time.sleep(1.1)
    assert client.search(**asked).json == before


def test_what_was_not_foreseen_is_not_told_to_others(client, searcher, monkeypatch):
    def wrong(*asked):
        raise RuntimeError("secret of the machine")

    with monkeypatch.context() as patched:
        patched.setattr(searcher.index, "search", wrong)
        said = client.search(text="a star")
    assert said.status == 500
    assert "secret" not in said.error
    assert client.search(text="a star").status == 200
