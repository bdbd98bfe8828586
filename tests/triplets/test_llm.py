"""Language models: answers are read or dropped, servers fail and are asked again, runs go on."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rtd_adapters.errors import FileError, TripletError, UsageError
from rtd_adapters.triplets import Triplet, read_triplets
from rtd_adapters.triplets.answers import (
    NO_JSON,
    NO_KEYS,
    PROMPT,
    TOO_LONG,
    UNCHANGED,
    load_prompt,
    parse_answer,
)
from rtd_adapters.triplets.endpoint import Endpoint
from rtd_adapters.triplets.llm import NO_ANSWER, llm_triplets

KEY = "sk-very-secret"
GOOD = {"conditioning": "is blue", "target": "a blue dog"}


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(GOOD),
        "Sure! Here it is:\n```json\n" + json.dumps(GOOD, indent=1) + "\n```\nAnything else?",
        '{"edit": "is blue", "output": " a blue\\n dog", }',
        "{'conditioning': 'is blue', 'target': 'a blue dog'}",
        '{"conditioning": "is blue", "target": "a blue\n dog"}',
    ],
)
def test_answers_that_can_be_read(answer):
    assert parse_answer("a red dog", answer) == Triplet("a red dog", "is blue", "a blue dog")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I cannot do that.", NO_JSON),
        ('{"conditioning": "is blue", "tar', NO_JSON),
        ('{"conditioning": "is blue"}', NO_KEYS),
        ('{"conditioning": 7, "target": "a"}', NO_KEYS),
        ('{"conditioning": "x", "target": "A red dog."}', UNCHANGED),
        (json.dumps({"conditioning": "x", "target": "word " * 70}), TOO_LONG),
    ],
)
def test_answers_that_cannot(answer, why):
    assert parse_answer("a red dog", answer) == why


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
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
            faults = server.faults.get(caption, [])
            fault = faults.pop(0) if faults else None
        time.sleep(0.02)
        with server.lock:
            server.busy -= 1
        self.answer(caption, fault)

    def answer(self, caption, fault):
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


def run(model, captions, out, concurrency=4, **more):
    ask = Endpoint(model.url, "m", KEY, timeout=0.3, first_wait=0.01, **more)
    return llm_triplets(captions, out, ask, identity={"model": "m"}, concurrency=concurrency)


def test_a_server_with_every_fault_still_gives_the_file_in_order(model, captions, tmp_path):
    model.faults = {
        "dog 1": [429, 500, 503],
        "dog 5": ["slow"],
        "dog 7": ["broken", "cut"],
        "dog 9": ["talk"],
        "dog 11": [500] * 6,
    }
    out = tmp_path / "out.jsonl"
    counts = run(model, captions, out)
    expected = [f"dog {n}" for n in range(24) if n not in (9, 11)]
    assert [t.reference for t in read_triplets(out)] == expected
    assert [t.target for t in read_triplets(out)] == [f"blue {text}" for text in expected]
    assert (counts.captions, counts.triplets) == (24, 22)
    assert counts.dropped == {NO_JSON: 1, NO_ANSWER: 1}
    assert (counts.prompt_tokens, counts.completion_tokens) == (2300, 230)
    assert counts.cost(10.0, 100.0) == pytest.approx(0.046)
    assert model.asked["dog 1"] == 4
    assert 1 < model.most_busy <= 4
    assert model.headers == {f"Bearer {KEY}"}


def test_a_broken_run_asks_for_no_caption_twice(model, captions, tmp_path):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    run(model, captions, whole)
    model.asked.clear(), model.answered.clear()
    model.faults = {"dog 13": [401]}
    with pytest.raises(UsageError, match="HTTP 401"):
        run(model, captions, out)
    assert not out.exists()
    assert 13 <= model.answered.total() < 24
    with pytest.raises(FileError, match="other settings"):
        llm_triplets(captions, out, lambda prompt: None, identity={"model": "other"})
    run(model, captions, out)
    assert out.read_bytes() == whole.read_bytes()
    assert set(model.answered.values()) == {1}
    assert model.answered.total() == 24
    assert not (tmp_path / "out.jsonl.work").exists()


def test_a_server_that_is_gone_stops_the_run_and_keeps_what_is_done(model, captions, tmp_path):
    model.faults = {f"dog {n}": [503] * 6 for n in range(10, 24)}
    out = tmp_path / "out.jsonl"
    with pytest.raises(TripletError, match="3 captions failed in a row"):
        run(model, captions, out, concurrency=1)
    model.faults = {}
    assert run(model, captions, out).triplets == 24
    assert set(model.answered.values()) == {1}


def test_failures_that_are_not_in_a_row_cost_their_captions_alone(model, captions, tmp_path):
    model.faults = {f"dog {n}": [500] * 6 for n in (2, 3, 8, 14, 20)}
    counts = run(model, captions, tmp_path / "out.jsonl", concurrency=1)
    assert counts.triplets == 19
    assert counts.dropped == {NO_ANSWER: 5}


def test_the_key_is_never_shown(model, captions, tmp_path):
    model.faults = {"dog 0": [403]}
    with pytest.raises(UsageError) as caught:
        run(model, captions, tmp_path / "out.jsonl", concurrency=1)
    assert "refused, key was ***" in str(caught.value)
    written = list((tmp_path / "out.jsonl.work").iterdir())
    assert written
    assert all(KEY not in path.read_text() for path in written)
    assert KEY not in repr(Endpoint(model.url, "m", KEY))


def test_the_key_does_not_follow_a_redirect(model, captions, tmp_path):
    model.faults = {"dog 0": [302]}
    with pytest.raises(UsageError, match="HTTP 302"):
        run(model, captions, tmp_path / "out.jsonl", concurrency=1)
    assert model.asked == {"dog 0": 1}


def test_no_usable_answer_at_all_says_why(model, tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("dog\ncat\n")
    model.faults = {"dog": ["talk"], "cat": ["talk"]}
    with pytest.raises(TripletError, match=f"{NO_JSON}: 2"):
        run(model, path, tmp_path / "out.jsonl")


def test_a_nonsense_address_is_refused():
    with pytest.raises(UsageError, match="no http"):
        Endpoint("file:///etc/passwd", "m")


def test_prompts_can_be_changed(tmp_path):
    assert load_prompt(None) == PROMPT
    path = tmp_path / "prompt.txt"
    path.write_text('Answer {"target": ...} for {caption}!')
    asked = []

    def ask(prompt):
        asked.append(prompt)
        raise KeyboardInterrupt

    captions = tmp_path / "c.txt"
    captions.write_text("a dog")
    with pytest.raises(KeyboardInterrupt):
        llm_triplets(captions, tmp_path / "o", ask, identity={}, prompt=load_prompt(path))
    assert asked == ['Answer {"target": ...} for a dog!']
    path.write_text("no place")
    with pytest.raises(UsageError, match="where the caption goes"):
        load_prompt(path)


def test_a_local_model_answers_from_its_folder(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from rtd_adapters.triplets.local_model import LocalModel

    words = {word: n for n, word in enumerate(["<unk>", "<eos>", "a", "dog", "cat", "runs"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>"
    ).save_pretrained(tmp_path / "model")
    config = GPT2Config(vocab_size=6, n_positions=32, n_embd=8, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    ask = LocalModel(tmp_path / "model", max_tokens=5, seed=3)
    answer = ask("a dog runs")
    assert ask("a dog runs") == answer
    assert answer.prompt_tokens == 3
    assert 1 <= answer.completion_tokens <= 5
    assert set(answer.text.split()) <= set(words)
    with pytest.raises(FileError, match="does not load"):
        LocalModel(tmp_path)
