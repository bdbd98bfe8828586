"""A server of chat completions and of their batches on this machine, which fails as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from batch_desk import BatchDesk

from rtd_adapters.triplets.llm.batches import Batches
from rtd_adapters.triplets.llm.endpoint import Endpoint
from rtd_adapters.triplets.llm.run import batch_triplets, llm_triplets

KEY = "sk-very-secret"


class Model(ThreadingHTTPServer):
    """Fails as it is told, and counts who asked for what."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.faults: dict[str, list] = {}
        """Caption to what happens on each request for it, before it is answered."""
        self.says: dict[str, list[str]] = {}
        """Caption to the answers to its first and second question; a good one for the rest."""
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.talks: dict[str, list[dict]] = {}
        """Caption to all requests for it."""
        self.headers: set[str] = set()
        self.paths: set[str] = set()
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()
        self.desk = BatchDesk(self.reply)

    def reply(self, body):
        """The caption that a request is about, its fault, and the chat completion."""
        caption = body["messages"][0]["content"].split("Caption: ")[1].strip()
        with self.lock:
            self.asked[caption] += 1
            self.talks.setdefault(caption, []).append(body)
            faults = self.faults.get(caption, [])
            fault = faults.pop(0) if faults else None
        question = len(body["messages"]) // 2
        says = self.says.get(caption, [])[question : question + 1]
        good = json.dumps({"conditioning": "is blue", "target": f"blue {caption}"})
        text = "no json" if fault == "talk" else says[0] if says else good
        message = {"role": "assistant", "content": text, "refusal": None}
        value = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
        return caption, fault, value


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        code, body = self.server.desk.get(self.path)
        if code == 404:
            self.server.asked["elsewhere"] += 1
        self.send(code, body)

    def do_POST(self):
        server = self.server
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.headers.add(self.headers["Authorization"])
            server.paths.add(self.path)
        if not self.path.partition("?")[0].endswith("/chat/completions"):
            self.send(*server.desk.post(self.path, sent, self.headers["Content-Type"]))
            return
        with server.lock:
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
        caption, fault, value = server.reply(json.loads(sent))
        time.sleep(0.02)
        with server.lock:
            server.busy -= 1
        self.answer(caption, fault, value)

    def answer(self, caption, fault, value):
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
        body = b"{broken" if fault == "broken" else json.dumps(value).encode()
        self.send(200, body, cut=fault == "cut")
        if fault is None:
            with self.server.lock:
                self.server.answered[caption] += 1

    def send(self, code, body, cut=False):
        """`code` 0 sends nothing, as a connection that breaks."""
        if code == 0:
            return
        self.send_response(code)
        kind = "application/json" if body.startswith(b"{") else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = cut or self.server.desk.cuts(self.path)
        self.wfile.write(body[: len(body) // 2] if cut else body)


def run(model, captions, out, concurrency=4, faults=None, **more):
    ask = Endpoint(model.url, "m", KEY, timeout=0.3, first_wait=0.01, **more)
    return llm_triplets(
        captions, out, ask, identity={"model": "m"}, concurrency=concurrency, faults=faults
    )


def says(target, conditioning="is it"):
    return json.dumps({"conditioning": conditioning, "target": target})


def no_purple(triplet):
    return [word for word in ("purple", "mauve") if word in triplet.target]


SAYS = {
    "dog 2": [says("purple dog"), says("green dog")],
    "dog 4": [says("purple mauve dog"), says("mauve dog")],
    "dog 6": ["I will not.", says("grey dog")],
    "dog 8": ["I will not.", says("purple dog")],
    "dog 9": [says("purple dog"), "I will not."],
}


def batched(model, captions, out, faults=no_purple, **more):
    endpoint = Endpoint(model.url, "m", KEY, timeout=2, first_wait=0.001)
    limits = {name: more.pop(name) for name in ("most_requests", "most_bytes") if name in more}
    batches = Batches(endpoint, **limits)
    return batch_triplets(captions, out, batches, identity={"model": "m"}, faults=faults, **more)
