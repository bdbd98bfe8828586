"""Vector engines beside each other, as the store of an index of pictures:

    python examples/benchmarks/stores.py make 1000000 768 FOLDER
    python examples/benchmarks/stores.py build ENGINE FOLDER
    python examples/benchmarks/stores.py search ENGINE FOLDER
    python examples/benchmarks/stores.py kill ENGINE FOLDER
    python examples/benchmarks/stores.py table FOLDER... > examples/benchmarks/stores.md

`make` writes clustered unit vectors, queries, and the queries' true neighbours by numpy. `build`
puts the vectors in, 4,096 at a time, and makes the engine's approximate index. `search`, a process
of its own, asks for 50 neighbours: one query at a time, then 32 at once, exactly and approximately;
memory is what that process and its children hold while they search, apart from mapped files and
PostgreSQL's shared buffers (1 GB). `kill` ends a process with SIGKILL in the middle of writing, and
counts the rows that are there afterwards beyond what it had been promised. Each step adds to
FOLDER/ENGINE.json. It takes the engines: pip install lancedb pymilvus milvus-lite pgserver
psycopg[binary] qdrant-edge-py chromadb usearch faiss-cpu
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
import psutil

CENTRES, SPREAD = 5000, 1.0
"""Of the clusters; noise as long as the centre puts a cluster's vectors at cosine 0.5."""
QUERIES, DEPTH, TOGETHER = 200, 50, 32
PART = 4096


def make(count: int, width: int, folder: Path) -> None:
    """Write vectors.npy, queries.npy and truth.npy."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    centres = units(rng.standard_normal((CENTRES, width), dtype=np.float32))
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", "w+", dtype=np.float32, shape=(count, width)
    )
    for start in range(0, count, 65536):
        vectors[start : start + 65536] = around(centres, min(65536, count - start), rng)
    queries = around(centres, QUERIES, rng)
    np.save(folder / "queries.npy", queries)
    scores = np.concatenate(
        [queries @ vectors[s : s + 65536].T for s in range(0, count, 65536)], axis=1
    )
    np.save(folder / "truth.npy", np.argsort(-scores, axis=1)[:, :DEPTH])


def around(centres: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors, each near a centre."""
    noise = rng.standard_normal((count, centres.shape[1]), dtype=np.float32)
    return units(centres[rng.integers(len(centres), size=count)] + SPREAD * units(noise))


def units(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Engine:
    """One engine with a table of vectors in a folder."""

    distribution: str
    packages: tuple[str, ...]
    kind: str
    """Of the approximate index."""
    licence: str
    server: str
    """That the vectors can move to, and whether by the same calls."""
    exactly = approximately = True

    def __init__(self, place: Path, width: int, count: int) -> None:
        self.place, self.width = place, width
        self.lists = int(4 * count**0.5) // 4 * 4

    def create(self) -> None:
        """An empty table."""

    def open(self) -> None:
        """The table as it is."""

    def put(self, first: int, rows: np.ndarray) -> None:
        """Rows numbered from `first`, durable once it returns."""
        raise NotImplementedError

    def index(self) -> None:
        """For approximate search."""

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        """Numbers of the nearest rows."""
        raise NotImplementedError

    def count(self) -> int:
        """Rows that are there."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of it."""


class Lance(Engine):
    distribution = "lancedb"
    packages = ("lancedb", "pyarrow", "lance_namespace", "lance_namespace_urllib3_client")
    licence, server = "Apache-2.0", "none to host oneself"
    kind = "IVF_FLAT, 20 lists; exact: all"

    def create(self) -> None:
        import lancedb
        import pyarrow as pa

        self.schema = pa.schema(
            [("id", pa.int64()), ("vector", pa.list_(pa.float32(), self.width))]
        )
        self.table = lancedb.connect(self.place).create_table("t", schema=self.schema)

    def open(self) -> None:
        import lancedb

        self.table = lancedb.connect(self.place).open_table("t")

    def put(self, first: int, rows: np.ndarray) -> None:
        import pyarrow as pa

        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), self.width)
        numbers = pa.array(np.arange(first, first + len(rows)))
        self.table.add(pa.table([numbers, vectors], schema=self.schema))

    def index(self) -> None:
        from lancedb.index import IvfFlat

        self.table.optimize()
        lists = IvfFlat("cosine", self.lists // 4, max_iterations=10, sample_rate=64)
        self.table.create_index("vector", config=lists)

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        asked = self.table.search(list(queries)).distance_type("cosine").limit(DEPTH)
        asked = asked.nprobes(self.lists // 4 if exact else 20)
        found = asked.select(["id", "_distance"]).to_arrow()
        return np.asarray(found["id"]).reshape(len(queries), -1).tolist()

    def count(self) -> int:
        return self.table.count_rows()


class LanceScan(Lance):
    kind = "none; exact: a scan"
    approximately = False

    def index(self) -> None:
        self.table.optimize()

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        asked = self.table.search(list(queries)).distance_type("cosine").limit(DEPTH)
        found = asked.select(["id", "_distance"]).to_arrow()
        return np.asarray(found["id"]).reshape(len(queries), -1).tolist()


class Milvus(Engine):
    distribution = "milvus-lite"
    packages = ("pymilvus", "milvus_lite", "faiss", "faiss_cpu.libs", "grpc", "pyarrow", "pandas")
    licence, server = "Apache-2.0", "Milvus, same client"
    kind = "IVF_FLAT, 20 lists"

    def create(self) -> None:
        from pymilvus import DataType, MilvusClient

        self.client = MilvusClient(str(self.place.with_suffix(".db")))
        schema = self.client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.width)
        self.client.create_collection("t", schema=schema)

    def open(self) -> None:
        from pymilvus import MilvusClient

        self.client = MilvusClient(str(self.place.with_suffix(".db")))
        self.client.load_collection("t")

    def put(self, first: int, rows: np.ndarray) -> None:
        self.client.insert("t", [{"id": first + n, "vector": row} for n, row in enumerate(rows)])

    def index(self) -> None:
        self._index("IVF_FLAT", {"nlist": self.lists // 4})

    def _index(self, kind: str, params: dict[str, Any]) -> None:
        chosen = self.client.prepare_index_params()
        chosen.add_index("vector", index_type=kind, metric_type="COSINE", params=params)
        self.client.create_index("t", chosen)

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        params = {"nprobe": self.lists // 4 if exact else 20}
        found = self.client.search(
            "t", list(queries), limit=DEPTH, search_params={"params": params}
        )
        return [[hit["id"] for hit in hits] for hits in found]

    def count(self) -> int:
        return self.client.get_collection_stats("t")["row_count"]

    def close(self) -> None:
        self.client.close()


class Postgres(Engine):
    distribution = "pgserver"
    packages = ("psycopg", "psycopg_binary", "psycopg_binary.libs", "pgserver", "pgserver.libs")
    licence, server = "PostgreSQL", "it is one"
    kind = "IVFFlat, 20 lists"
    port = "54329"

    def create(self) -> None:
        self.place.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.place, "nobody")
            self.place.parent.chmod(0o755)
        self._run("initdb", "-U", "rtd", "-A", "trust", "-D", str(self.place)).wait()
        self._connect()
        self.connection.execute("CREATE EXTENSION vector")
        self.connection.execute(f"CREATE TABLE t (id int PRIMARY KEY, v vector({self.width}))")
        self.connection.execute("ALTER TABLE t ALTER v SET STORAGE PLAIN")

    def open(self) -> None:
        sleep(5)  # in which what a killed server started ends
        self._connect()

    def put(self, first: int, rows: np.ndarray) -> None:
        head = (self.width).to_bytes(2, "big") + bytes(2)
        with self.connection.cursor().copy("COPY t FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "bytea"])
            for number, row in enumerate(rows.astype(">f4"), first):
                copy.write_row((number, head + row.tobytes()))

    def index(self) -> None:
        self.connection.execute("SET maintenance_work_mem = '4GB'")
        kind = f"ivfflat (v vector_cosine_ops) WITH (lists = {self.lists // 4})"
        self.connection.execute(f"CREATE INDEX ON t USING {kind}")

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        on, off = ("on", "off") if exact else ("off", "on")
        self.connection.execute(f"SET enable_seqscan = {on}; SET enable_indexscan = {off}")
        self.connection.execute("SET ivfflat.probes = 20")
        found = []
        for query in queries:
            text = "[" + ",".join(map(str, query.tolist())) + "]"
            rows = self.connection.execute(
                f"SELECT id FROM t ORDER BY v <=> %s::vector LIMIT {DEPTH}",
                [text],
                prepare=False,  # a prepared one keeps the plan of the other way
            )
            found.append([number for (number,) in rows])
        return found

    def count(self) -> int:
        return self.connection.execute("SELECT count(*) FROM t").fetchone()[0]

    def close(self) -> None:
        self.connection.close()
        self.server.send_signal(signal.SIGINT)
        self.server.wait()

    def _run(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        from pgserver._commands import POSTGRES_BIN_PATH

        user = "nobody" if os.geteuid() == 0 else None
        command = [POSTGRES_BIN_PATH / name, *arguments]
        return subprocess.Popen(command, user=user, stdout=2, cwd="/")

    def _connect(self) -> None:
        import psycopg

        settings = ("shared_buffers=1GB", "max_parallel_workers_per_gather=1", "port=" + self.port)
        options = [part for setting in settings for part in ("-c", setting)]
        self.server = self._run("postgres", "-D", str(self.place), "-k", "/tmp", *options)
        for _ in range(300):
            sleep(0.2)
            try:
                self.connection = psycopg.connect(
                    host="127.0.0.1", port=self.port, user="rtd", dbname="postgres", autocommit=True
                )
                return
            except psycopg.OperationalError:
                continue


class QdrantEdge(Engine):
    distribution = "qdrant-edge-py"
    packages = ("qdrant_edge",)
    licence, server = "Apache-2.0", "Qdrant, another client"
    kind = "HNSW, m 16, ef 100"

    def create(self) -> None:
        import qdrant_edge as q

        self.place.mkdir()
        vectors = q.EdgeVectorParams(self.width, q.Distance.Cosine, on_disk=True)
        graph = q.HnswIndexConfig(16, 100, 10_000)
        self.shard = q.EdgeShard.create(
            str(self.place), q.EdgeConfig(vectors=vectors, hnsw_config=graph)
        )

    def open(self) -> None:
        import qdrant_edge as q

        self.shard = q.EdgeShard.load(str(self.place))

    def put(self, first: int, rows: np.ndarray) -> None:
        import qdrant_edge as q

        points = [q.Point(first + n, row.tolist()) for n, row in enumerate(rows)]
        self.shard.update(q.UpdateOperation.upsert_points(points))

    def index(self) -> None:
        self.shard.optimize()
        self.shard.flush()

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        import qdrant_edge as q

        params = q.SearchParams(hnsw_ef=100, exact=exact)
        asked = [
            q.SearchRequest(q.Query.Nearest(x.tolist()), DEPTH, params=params) for x in queries
        ]
        return [[hit.id for hit in self.shard.search(one)] for one in asked]

    def count(self) -> int:
        import qdrant_edge as q

        return self.shard.count(q.CountRequest(exact=True))

    def close(self) -> None:
        self.shard.close()


class QdrantLocal(Engine):
    distribution = "qdrant-client"
    packages = ("qdrant_client", "grpc")
    licence, server = "Apache-2.0", "Qdrant, same client"
    kind = "none"
    approximately = False

    def create(self) -> None:
        self.open()
        from qdrant_client import models as m

        self.client.create_collection("t", m.VectorParams(size=self.width, distance="Cosine"))

    def open(self) -> None:
        from qdrant_client import QdrantClient

        self.client = QdrantClient(path=str(self.place))

    def put(self, first: int, rows: np.ndarray) -> None:
        from qdrant_client import models as m

        numbers = list(range(first, first + len(rows)))
        self.client.upsert("t", m.Batch(ids=numbers, vectors=rows.tolist()))

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        asked = [self.client.query_points("t", query.tolist(), limit=DEPTH) for query in queries]
        return [[hit.id for hit in one.points] for one in asked]

    def count(self) -> int:
        return self.client.count("t").count

    def close(self) -> None:
        self.client.close()


class Chroma(Engine):
    distribution = "chromadb"
    packages = ("chromadb", "chromadb_rust_bindings", "onnxruntime", "grpc", "opentelemetry")
    licence, server = "Apache-2.0", "Chroma, same client"
    kind = "HNSW, m 16, ef 100"
    exactly = False

    def create(self) -> None:
        self.open()

    def open(self) -> None:
        import chromadb

        self.client = chromadb.PersistentClient(str(self.place))
        graph = {"space": "cosine", "ef_construction": 100, "ef_search": 100, "max_neighbors": 16}
        self.table = self.client.get_or_create_collection("pictures", configuration={"hnsw": graph})

    def put(self, first: int, rows: np.ndarray) -> None:
        self.table.add([str(first + n) for n in range(len(rows))], embeddings=rows)

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        found = self.table.query(query_embeddings=queries, n_results=DEPTH, include=["distances"])
        return [list(map(int, ids)) for ids in found["ids"]]

    def count(self) -> int:
        return self.table.count()


class Usearch(Engine):
    distribution = "usearch"
    packages = ("usearch",)
    licence, server = "Apache-2.0", "none"
    kind = "HNSW, m 16, ef 100"

    def create(self) -> None:
        from usearch.index import Index

        self.place.mkdir()
        self.table = Index(
            ndim=self.width, metric="ip", connectivity=16, expansion_add=100, expansion_search=100
        )

    def open(self) -> None:
        from usearch.index import Index

        self.table = Index.restore(str(self.place / "t"), view=True)

    def put(self, first: int, rows: np.ndarray) -> None:
        self.table.add(np.arange(first, first + len(rows)), rows, threads=os.cpu_count())

    def index(self) -> None:
        self.table.save(str(self.place / "t"))

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        found = self.table.search(queries, DEPTH, exact=exact, threads=os.cpu_count())
        return found.keys.reshape(len(queries), -1).tolist()

    def count(self) -> int:
        return len(self.table)


class Faiss(Engine):
    distribution = "faiss-cpu"
    packages = ("faiss", "faiss_cpu.libs")
    licence, server = "MIT", "none"
    kind = "IVF_FLAT, 20 lists"

    def create(self) -> None:
        self.place.mkdir()
        self.rows: list[np.ndarray] = []

    def open(self) -> None:
        import faiss

        self.table = faiss.read_index(str(self.place / "t"), faiss.IO_FLAG_MMAP)

    def put(self, first: int, rows: np.ndarray) -> None:
        self.rows.append(rows)

    def index(self) -> None:
        import faiss

        kept = faiss.IndexFlatIP(self.width)
        self.table = faiss.IndexIVFFlat(
            kept, self.width, self.lists // 4, faiss.METRIC_INNER_PRODUCT
        )
        rows = np.concatenate(self.rows)
        self.table.train(rows[:: max(len(rows) // (self.lists * 16), 1)])
        self.table.add(rows)
        faiss.write_index(self.table, str(self.place / "t"))

    def search(self, queries: np.ndarray, exact: bool) -> list[list[int]]:
        self.table.nprobe = self.lists // 4 if exact else 20
        return self.table.search(queries, DEPTH)[1].tolist()

    def count(self) -> int:
        return self.table.ntotal


ENGINES = {
    "LanceDB": Lance,
    "LanceDB scan": LanceScan,
    "Milvus Lite": Milvus,
    "pgvector": Postgres,
    "Qdrant Edge": QdrantEdge,
    "Qdrant local": QdrantLocal,
    "Chroma": Chroma,
    "usearch": Usearch,
    "faiss": Faiss,
}


@contextmanager
def engine(name: str, folder: Path, anew: bool) -> Iterator[tuple[Engine, np.ndarray]]:
    """An engine's table in a folder, and the vectors that belong in it."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    place = folder / name.replace(" ", "-").lower()
    if anew:
        for left in written(place):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    one = ENGINES[name](place, vectors.shape[1], len(vectors))
    one.create() if anew else one.open()
    yield one, vectors
    one.close()


def written(place: Path) -> list[Path]:
    """What an engine wrote at a place."""
    return [path for path in (place, place.with_suffix(".db")) if path.exists()]


def record(name: str, folder: Path, **figures: Any) -> None:
    """Add figures to the engine's file."""
    path = folder / f"{name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | figures, indent=1))
    print(name, figures, file=sys.stderr)


def build(name: str, folder: Path) -> None:
    with engine(name, folder, anew=True) as (one, vectors):
        began = perf_counter()
        for start in range(0, len(vectors), PART):
            one.put(start, np.array(vectors[start : start + PART]))
        put = perf_counter() - began
        one.index()
        took = perf_counter() - began
    place = folder / name.replace(" ", "-").lower()
    sizes = [f.stat().st_size for p in written(place) for f in (p, *p.rglob("*"))]
    record(name, folder, put_s=put, index_s=took - put, disk_gb=sum(sizes) / 1e9)


def search(name: str, folder: Path) -> None:
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    before = held()
    with engine(name, folder, anew=False) as (one, vectors):
        for exact in [True] * one.exactly + [False] * one.approximately:
            way = "exact" if exact else "approximate"
            few = queries[: 40 if exact and len(vectors) > 200_000 else QUERIES]
            one.search(few[:1], exact)
            took, found = [], []
            for query in few:
                began = perf_counter()
                found += one.search(query[None], exact)
                took.append((perf_counter() - began) * 1000)
            began = perf_counter()
            one.search(queries[:TOGETHER], exact)
            together = (perf_counter() - began) * 1000
            near = zip(found, truth, strict=False)
            recall = np.mean([len({*f[:10]} & {*t[:10].tolist()}) / 10 for f, t in near])
            p50, p95 = np.percentile(took, [50, 95])
            figures = {"p50": p50, "p95": p95, "together": together, "recall": recall}
            record(name, folder, **{way: figures}, memory_gb=(held() - before) / 1e9)


def held() -> int:
    """Bytes that this process and its children hold, mapped files apart."""
    total = 0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        total += int(fields["RssAnon"].split()[0]) * 1024
    return total


def kill(name: str, folder: Path) -> None:
    """Count what is there of what `write` was promised, and find some of it."""
    command = [sys.executable, __file__, "write", name, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        promised = 0
        for line in run.stdout or ():
            promised = int(line)
            if promised >= 12 * PART:
                sleep(0.05)
                os.killpg(run.pid, signal.SIGKILL)
                break
    try:
        with engine(name, folder, anew=False) as (one, vectors):
            count = one.count()
            found = one.search(np.array(vectors[:5]), exact=one.exactly)
            sound = [row[0] for row in found] == [0, 1, 2, 3, 4]
        record(
            name, folder, kill=f"{count - promised:+,} of {promised:,}" if sound else "wrong rows"
        )
    except Exception as error:
        record(name, folder, kill=f"does not open: {type(error).__name__}")


def write(name: str, folder: Path) -> None:
    with engine(name, folder, anew=True) as (one, vectors):
        for start in range(0, len(vectors), PART):
            one.put(start, np.array(vectors[start : start + PART]))
            print(start + PART, flush=True)


def installed_mb(packages: tuple[str, ...]) -> float:
    """Of the engine's packages, and of the large ones that they bring."""
    found = (
        next((Path(site) / name for site in sys.path if (Path(site) / name).is_dir()), None)
        for name in packages
    )
    files = (file for folder in filter(None, found) for file in folder.rglob("*"))
    return sum(file.stat().st_size for file in files) / 1e6


def table(folders: list[Path]) -> None:
    """What was recorded, a table for each folder and one of what is the same everywhere."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    print(f"{cores} cores, {memory:.0f} GiB of memory; milliseconds, and GB\n")
    for folder in folders:
        shape = np.load(folder / "queries.npy").shape
        print(f"{folder.name} vectors of {shape[1]} numbers, 50 neighbours\n")
        print(
            "| engine | written, indexed s | disk | exact p50, p95 | 32 together | approximate "
            "p50, p95 | 32 together | recall at 10 | memory |\n" + "|---" * 9 + "|"
        )
        for name in ENGINES:
            if (path := folder / f"{name}.json").exists():
                print(line(name, json.loads(path.read_text())))
        print()
    print("| engine | version | installed MB | lists or graph | licence | server | after SIGKILL |")
    print("|---|---|---|---|---|---|---|")
    for name, kind in ENGINES.items():
        killed = [
            json.loads(p.read_text()).get("kill") for f in folders for p in f.glob(f"{name}.json")
        ]
        if not killed:
            continue
        said = next(filter(None, killed), "not tried")
        cells = [name, version(kind.distribution), f"{installed_mb(kind.packages):.0f}"]
        print("| " + " | ".join([*cells, kind.kind, kind.licence, kind.server, said]) + " |")


def line(name: str, known: dict[str, Any]) -> str:
    """A row of an engine's figures."""
    cells = [name, f"{known['put_s']:.0f}, {known['index_s']:.0f}", f"{known['disk_gb']:.1f}"]
    for way in ("exact", "approximate"):
        found = known.get(way)
        cells.append(f"{found['p50']:.1f}, {found['p95']:.1f}" if found else "")
        cells.append(f"{found['together']:.0f}" if found else "")
    near = known.get("approximate")
    cells += [f"{near['recall']:.2f}" if near else "", f"{known.get('memory_gb', 0):.2f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    step, *rest = sys.argv[1:]
    if step == "make":
        make(int(rest[0]), int(rest[1]), Path(rest[2]))
    elif step == "table":
        table(list(map(Path, rest)))
    else:
        {"build": build, "search": search, "kill": kill, "write": write}[step](
            rest[0], Path(rest[1])
        )
