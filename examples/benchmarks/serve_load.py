"""`rtd serve` under load: python examples/benchmarks/serve_load.py [--clients 50] [--seconds 60]

Makes an index of random embeddings (100,000 by default) with small pictures, beside the cache of
this machine's own, and measures two things. First the exact search alone, in this process, at the
width of ViT-L-14: one query at a time, and many in one call, as the server asks. Then `rtd serve`
in a process of its own, over an index as wide as the built-in world's embeddings: clients on
127.0.0.1 ask composed queries about entries, plain texts, and for small pictures, each the next as
soon as it has the last answer. Latencies are those of whole requests, as a client sees them; those
of encoding and search are the server's own (Server-Timing), for all that was asked together.

The clients share the machine with the server, and an error is any answer that is not 200.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
from PIL import Image

from rtd_adapters import load_backbone
from rtd_adapters.clip.image_fingerprint import image_fingerprint
from rtd_adapters.search.index import Index
from rtd_adapters.search.index.card import Saved
from rtd_adapters.search.index.places import store_at
from rtd_adapters.search.index.records import Row, State

WIDTH = 768
AT_ONCE = (1, 8, 32)
ROUNDS = 40
PART = 10_000
WORDS = ("red", "blue", "green", "pink", "striped", "dotted", "large", "small", "star", "heart")


def make_index(place: Path, count: int, width: int, fingerprint: str) -> Path:
    """Random embeddings, and one of a few small pictures each."""
    store, draw = store_at(place), np.random.default_rng(0)
    store.begin(Saved("demo", None, fingerprint, "clip", width, "demo"))
    small = [thumbnail(number) for number in range(8)]
    for start in range(0, count, PART):
        vectors = draw.standard_normal((min(PART, count - start), width), dtype=np.float32)
        rows = enumerate(vectors, start)
        store.put([Row(str(n), State(0, 0), 64, 64, small[n % 8], vector) for n, vector in rows])
    store.settle()
    return place


def thumbnail(number: int) -> bytes:
    """A JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (30 * number, 90, 200 - 20 * number)).save(buffer, "JPEG")
    return buffer.getvalue()


def search_alone(index: Index) -> None:
    """Print how long the exact search takes, by how many queries are asked at once."""
    draw = np.random.default_rng(1)
    print(f"exact search of {index.card.count:,} x {index.card.embed_dim}, 12 results, ms")
    print(f"{'at once':>8} {'p50':>8} {'p95':>8} {'each':>8}")
    for size in AT_ONCE:
        taken = []
        for _ in range(ROUNDS // size + 6):
            rows = draw.standard_normal((size, index.card.embed_dim), dtype=np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            started = time.perf_counter()
            index.search(rows, 12)
            taken.append(1000 * (time.perf_counter() - started))
        p50, p95 = np.percentile(taken[2:], [50, 95])
        print(f"{size:>8} {p50:>8.1f} {p95:>8.1f} {p50 / size:>8.1f}")


class Figures:
    """What all clients saw."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken: dict[str, list[float]] = defaultdict(list)
        self.errors: Counter[str] = Counter()

    def add(self, kind: str, milliseconds: float) -> None:
        """One that went well."""
        with self.lock:
            self.taken[kind].append(milliseconds)

    def fail(self, words: str) -> None:
        """One that did not."""
        with self.lock:
            self.errors[words] += 1

    def show(self, seconds: float) -> None:
        """Print them."""
        print(f"{'':<18} {'count':>8} {'p50':>8} {'p95':>8} {'most':>8}")
        for kind, taken in sorted(self.taken.items()):
            p50, p95 = np.percentile(taken, [50, 95])
            print(f"{kind:<18} {len(taken):>8,} {p50:>8.1f} {p95:>8.1f} {max(taken):>8.1f}")
        asked = sum(len(taken) for kind, taken in self.taken.items() if kind.startswith("whole"))
        print(f"{asked / seconds:.0f} requests a second, {self.errors.total()} errors")
        for words, times in self.errors.most_common(5):
            print(f"  {times} times: {words}")


def client(address: str, count: int, until: float, figures: Figures, seed: int) -> None:
    """Ask one thing after the other."""
    draw, where = random.Random(seed), urlsplit(address)
    line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    while time.perf_counter() < until:
        entry, text = str(draw.randrange(count)), " ".join(draw.sample(WORDS, 3))
        kind = draw.choices(("composed", "text", "thumbnail"), (2, 1, 7))[0]
        body, path, headers = None, f"/api/thumbnail?id={entry}", {}
        if kind != "thumbnail":
            asked = {"text": text} | ({"entry": entry} if kind == "composed" else {})
            body, path = urlencode(asked), "/api/search"
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
        started = time.perf_counter()
        try:
            line.request("GET" if body is None else "POST", path, body, headers)
            said = line.getresponse()
            content = said.read()
        except (OSError, http.client.HTTPException) as error:
            figures.fail(f"{kind}: {type(error).__name__}: {error}")
            line.close()
            continue
        if said.status != 200:
            figures.fail(f"{kind}: {said.status} {content[:100]!r}")
            continue
        figures.add(f"whole {kind}", 1000 * (time.perf_counter() - started))
        for part in filter(None, (said.getheader("Server-Timing") or "").split(", ")):
            name, _, milliseconds = part.partition(";dur=")
            figures.add(f"server's {name}", float(milliseconds))


def under_load(place: Path, options: argparse.Namespace) -> None:
    """Start the server, let the clients ask, print what they saw."""
    command = [sys.executable, "-m", "rtd_adapters", "serve", str(place), "--port", "0"]
    command += ["--patch", str(options.patch)] if options.patch else []
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        address = (server.stdout.readline() if server.stdout else "").split()[0]
        figures, until = Figures(), time.perf_counter() + options.seconds
        clients = [
            threading.Thread(target=client, args=(address, options.pictures, until, figures, seed))
            for seed in range(options.clients)
        ]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
    asked = f"{options.clients} clients for {options.seconds:.0f} s"
    print(f"\n{asked}, {options.pictures:,} pictures of the built-in world's width, ms")
    figures.show(options.seconds)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--patch", type=Path, help="of the built-in world: two columns each")
    parser.add_argument("--keep", type=Path, help="make the indexes here, or take those that are")
    options = parser.parse_args()
    backbone = load_backbone("demo")
    eyes = image_fingerprint(backbone.images()[0])
    with tempfile.TemporaryDirectory() as temporary:
        root = options.keep or Path(temporary)
        places = {width: root / str(width) for width in (WIDTH, backbone.shape.embed_dim)}
        for width, place in places.items():
            if store_at(place).card() is None:
                make_index(place, options.pictures, width, eyes)
        search_alone(Index.open(places[WIDTH]))
        search_alone(Index.open(places[backbone.shape.embed_dim]))
        under_load(places[backbone.shape.embed_dim], options)


if __name__ == "__main__":
    main()
