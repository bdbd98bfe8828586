"""Both stores keep the same promises, told by plain numpy."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from postgres_server import running

pytest.importorskip("lancedb", reason="the extra `search` is not installed")

from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.search.index import store as seam
from rtd_adapters.search.index.card import Saved
from rtd_adapters.search.index.places import store_at
from rtd_adapters.search.index.records import Row, State

CARD = Saved("ViT", None, "abc", "clip", 32, "/pictures")


@pytest.fixture(scope="module")
def server():
    with running() as (address, _):
        yield address


@pytest.fixture(params=["folder", "server"])
def where(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "index")
    name = request.node.name.translate({ord(c): "_" for c in "[]-"})[:40].lower()
    return f"{request.getfixturevalue('server')}#{name}"


@pytest.fixture
def store(where):
    store = store_at(where)
    assert store.card() is None
    store.begin(CARD)
    return store


def rows(count, seed=0, first=0):
    embeddings = np.random.default_rng(seed).standard_normal((count, 32)).astype(np.float32) * 3
    return [
        Row(f"a'b/ü {n:05}.jpg", State(n, 2**62 + n), n + 1, 7, b"\xff%d" % n, embedding)
        for n, embedding in enumerate(embeddings, first)
    ]


def expected(kept, queries, k):
    """Ids and cosines by numpy, in float64."""
    table = np.stack([row.embedding for row in kept]).astype(np.float64)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    scores = queries @ table.T
    best = np.argsort(-scores, axis=1)[:, :k]
    return [[(kept[n].id, score[n]) for n in own] for own, score in zip(best, scores, strict=True)]


def queries(count=6):
    found = np.random.default_rng(9).standard_normal((count, 32)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def require_same(found, wanted):
    for hits, pairs in zip(found, wanted, strict=True):
        assert [hit.id for hit in hits] == [id_ for id_, _ in pairs]
        np.testing.assert_allclose([h.score for h in hits], [s for _, s in pairs], atol=1e-6)


def test_what_is_put_comes_back(store, where):
    kept = rows(50)
    store.put(kept)
    again = store_at(where)
    assert again.card() == CARD
    assert again.count() == 50
    assert again.states() == {row.id: row.state for row in kept}
    ids = [kept[40].id, kept[3].id]
    np.testing.assert_array_equal(again.embeddings(ids)[ids[0]], kept[40].embedding)
    assert again.thumbnails(ids) == {ids[0]: b"\xff40", ids[1]: b"\xff3"}
    assert {e.id: (e.width, e.height) for e in again.entries(ids).values()} == {
        ids[0]: (41, 7),
        ids[1]: (4, 7),
    }
    assert again.entries(["none"]) == again.embeddings(["none"]) == again.thumbnails(["no"]) == {}
    pages = [again.page(start, 20) for start in (0, 20, 40, 60)]
    assert [len(page) for page in pages] == [20, 20, 10, 0]
    assert len({entry.id for page in pages for entry in page}) == 50


def test_put_replaces_and_remove_removes(store):
    store.put(rows(30))
    new = rows(10, seed=1)
    store.put(new)
    store.remove([row.id for row in rows(30)[20:]])
    store.remove([])
    store.put([])
    kept = new + rows(30)[10:20]
    assert store.states() == {row.id: row.state for row in kept}
    require_same(store.search(queries(), 20, exact=True), expected(kept, queries(), 20))


def test_exact_search_is_exact_with_an_approximate_index(store, monkeypatch):
    monkeypatch.setattr(seam, "FEWEST", 500)
    monkeypatch.setattr(seam, "PROBES", 8)
    store.put(rows(3000))
    store.settle()
    late = rows(200, seed=5, first=3000)  # in no list yet
    store.put(late)
    store.put(rows(5, seed=6))  # in a list, and changed
    store.remove([row.id for row in rows(3000)[5:100]])
    kept = rows(5, seed=6) + rows(3000)[100:] + late
    asked = queries(20)  # so many that a server would keep a plan
    wanted = expected(kept, asked, 50)
    require_same(store.search(asked, 50, exact=True), wanted)
    near = store.search(asked, 50, exact=False)
    recall = np.mean(
        [len({h.id for h in n} & {i for i, _ in w}) / 50 for n, w in zip(near, wanted, strict=True)]
    )
    assert 0.2 < recall < 1  # by lists, and not by all of them
    store.settle()
    require_same(store.search(asked, 50, exact=True), wanted)


def test_a_card_may_be_laid_anew(store):
    store.put(rows(3))
    store.begin(CARD)
    assert store.count() == 3


def test_one_run_at_a_time_writes(store, where):
    other = store_at(where)
    with store.claimed(), pytest.raises(FileError, match="being written by another run"):
        other.claimed().__enter__()
    with store_at(where).claimed():
        pass


def test_a_newer_index_is_refused(tmp_path):
    store = store_at(tmp_path / "index")
    store.begin(CARD)
    card = tmp_path / "index" / "index.json"
    card.write_text(card.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(FileError, match="format 2, and this rtd reads format 1"):
        store.card()


def test_a_panic_of_the_engine_is_said(tmp_path, monkeypatch):
    """LanceDB's core panics over some damaged files, by an exception of its own."""

    class RustPanic(Exception):
        pass

    def panics(self):
        raise RustPanic("rust future panicked: unknown error")

    store = store_at(tmp_path / "index")
    monkeypatch.setattr(type(store), "_table", property(panics))
    with pytest.raises(FileError, match=r"is damaged.*panicked.*Make it anew"):
        store.count()


def test_a_damaged_table_is_said(tmp_path):
    store = store_at(tmp_path / "index")
    store.begin(CARD)
    store.put(rows(100))
    for path in (tmp_path / "index").rglob("*.lance"):
        path.write_bytes(b"nothing") if path.is_file() else None
    with pytest.raises(FileError, match="is damaged"):
        store_at(tmp_path / "index").embeddings([rows(1)[0].id])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1/x", "http:// is no store"),
        ("postgresql://me:secret@host/x", "pgpass"),
        ("postgresql://host/x#No-Name", "no name for an index"),
    ],
)
def test_addresses_that_are_none(address, words):
    with pytest.raises(UsageError, match=words) as caught:
        store_at(address)
    assert "secret" not in str(caught.value)


def test_a_store_that_is_down_and_comes_back():
    with running() as (address, folder):
        store = store_at(address)
        store.begin(CARD)
        store.put(rows(5))
    port = int(address.rpartition(":")[2].partition("/")[0])
    for ask in (store.count, store.claimed().__enter__, store_at(address).card):
        with pytest.raises(FileError, match="does not answer"):
            ask()
    with running(port, folder):
        assert store.count() == 5


def test_a_reader_sees_what_is_written_later(store, where):
    store.put(rows(3))
    reader = store_at(where)
    assert reader.count() == 3
    store.put(rows(5))
    time.sleep(1.2)  # what a folder's reader sees may be a second old
    assert reader.count() == 5
    assert len(reader.search(queries(1), 9, exact=True)[0]) == 5


def test_many_threads_ask_at_once(store):
    kept = rows(400)
    store.put(kept)
    wanted = expected(kept, queries(40), 5)

    def ask(n):
        require_same(store.search(queries(40)[n : n + 1], 5, exact=True), wanted[n : n + 1])
        assert store.thumbnails([kept[n].id])[kept[n].id] == kept[n].thumbnail
        return n

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == list(range(40))
