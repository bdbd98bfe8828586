"""A chat-completion server on this machine, which fails as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rtd_adapters.triplets.llm.endpoint import Endpoint
from rtd_adapters.triplets.llm.run import llm_triplets

KEY = "sk-very-secret"


class Model(ThreadingHTTPServer):
    """A chat-completion server that fails as it is told, and counts who asked for what."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.faults: dict[str, list] = {}
        """Caption to what happens on each request for it, before it is answered."""
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.headers: set[str] = set()
        self.paths: set[str] = set()
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.server.asked["elsewhere"] += 1
        self.send_error(404)

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        caption = body["messages"][0]["content"].split("Caption: ")[1].strip()
        with server.lock:
            server.asked[caption] += 1
            server.headers.add(self.headers["Authorization"])
            server.paths.add(self.path)
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
            faults = server.faults.get(caption, [])
            fault = faults.pop(0) if faults else None
        time.sleep(0.02)
        with server.lock:
            server.busy -= 1
        self.answer(caption, fault)

    def answer(self, caption, fault):
        if isinstance(fault, bytes):
            self.wfile.write(fault)
            return
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Retry-After", "0.01")
            if fault == 302:
                self.send_header("Location", f"{self.server.url}/elsewhere")
            self.end_headers()
            self.wfile.write(f"refused, key was {KEY}".encode())
            return
        if fault == "slow":
            time.sleep(0.6)
        answer = (
            "no json"
            if fault == "talk"
            else json.dumps({"conditioning": "is blue", "target": f"blue {caption}"})
        )
        value = {
            "choices": [{"message": {"content": answer}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        }
        body = b"{broken" if fault == "broken" else json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:5] if fault == "cut" else body)
        if fault is None:
            with self.server.lock:
                self.server.answered[caption] += 1


def run(model, captions, out, concurrency=4, **more):
    ask = Endpoint(model.url, "m", KEY, timeout=0.3, first_wait=0.01, **more)
    return llm_triplets(captions, out, ask, identity={"model": "m"}, concurrency=concurrency)
