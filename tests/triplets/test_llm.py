"""Language models: answers are read or dropped, servers fail and are asked again, runs go on."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

from rtd_adapters.errors import FileError, RtdError, TripletError, UsageError
from rtd_adapters.triplets import Triplet, read_triplets
from rtd_adapters.triplets.answers import (
    NO_JSON,
    NO_KEYS,
    NO_UNICODE,
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
        ("7", NO_JSON),
        ("[]", NO_JSON),
        ("[{}]", NO_KEYS),
        ("null", NO_JSON),
        ('{"a":' * 100_000, NO_JSON),
        ('{"a":' + "9" * 6000 + "}", NO_JSON),
        ('{"conditioning": "\\ud800", "target": "a"}', NO_UNICODE),
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


HARD = "sk-a/b+c'd&e_0123456789"
FORMS = {
    "plain": HARD,
    "URL": quote(HARD, safe=""),
    "URL twice": quote(quote(HARD, safe=""), safe=""),
    "JSON": json.dumps(HARD)[1:-1].replace("/", "\\/"),
    "JSON in full": "".join(f"\\u{ord(c):04X}" for c in HARD),
    "HTML": escape(HARD),
    "base64": base64.b64encode(HARD.encode()).decode(),
    "capitals": HARD.upper(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", [0, 190])
def test_a_key_is_hidden_in_every_form_in_reason_and_body_across_the_cut(form, before, model):
    """190 characters before it, it stands across the end of what is shown of a body."""
    said = f"HTTP/1.0 403 no {FORMS[form]}\r\n\r\n{'x' * before}{FORMS[form]}".encode()
    model.faults = {"dog": [said]}
    with pytest.raises(UsageError, match="HTTP 403") as caught:
        Endpoint(model.url, "m", HARD)("Caption: dog")
    shown = str(caught.value)
    assert not any(FORMS[form][:6].lower() in part.lower() for part in shown.split())
    assert f"no ***. {'x' * before}***" in shown


def test_a_key_in_the_address_is_sent_but_never_shown_or_stored(captions, model, tmp_path):
    secret = "pass/word-77"
    address = model.url.replace("//", f"//me:{quote(secret, safe='')}@") + "?api_key=qk-0123456789"
    out = tmp_path / "out.jsonl"
    ask = Endpoint(address, "m", "another-key", first_wait=0.01)
    echo = base64.b64encode(f"me:{secret}".encode()).decode()
    model.faults = {"dog 5": [f"HTTP/1.0 403 {secret}\r\n\r\nqk-0123456789 {echo}".encode()]}
    with pytest.raises(UsageError, match="HTTP 403") as caught:
        llm_triplets(captions, out, ask, identity=ask.identity)
    settings = tmp_path / "out.jsonl.work" / "settings.json"
    assert settings.stat().st_mode & 0o777 == 0o600
    for text in (str(caught.value), repr(ask), settings.read_text()):
        assert not any(part in text for part in ("pass", "word-77", "qk-0", echo))
    assert model.headers == {f"Basic {echo}"}
    assert model.paths == {"/v1/chat/completions?api_key=qk-0123456789"}
    other = Endpoint(address.replace("qk-0", "qk-1"), "m")
    with pytest.raises(FileError, match="other settings"):
        llm_triplets(captions, out, other, identity=other.identity)
    assert llm_triplets(captions, out, ask, identity=ask.identity).triplets == 24


@pytest.mark.parametrize(
    "address",
    [
        "https://me:key-1234@host:port/v1",
        "ftp://key-1234@host/v1",
        "me:key-1234@host/v1",
        "https://key-1234@/v1",
        "https://host/v1?k=key-1234 ",
        "https://[key-1234/v1",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_shown(address):
    with pytest.raises(UsageError, match="--endpoint is no") as caught:
        Endpoint(address, "m")
    assert "key-1234" not in str(caught.value)


def test_a_key_that_no_header_takes_is_refused_without_being_shown():
    with pytest.raises(UsageError, match="line break") as caught:
        Endpoint("http://host/v1", "m", "key-1234\n")
    assert "key-1234" not in str(caught.value)


BODIES = {
    "list": b"[]",
    "text": b'"x"',
    "number": b"7",
    "null": b"null",
    "nothing": b"{}",
    "no choices": b'{"choices": []}',
    "no message": b'{"choices": [{}]}',
    "message is text": b'{"choices": [{"message": "x"}]}',
    "content is a list": b'{"choices": [{"message": {"content": [{"text": "x"}]}}]}',
    "usage is a list": b'{"choices": [{"message": {"content": "x"}}], "usage": [1]}',
    "tokens without end": b'{"choices": [{"message": {"content": "x"}}], "usage":'
    b' {"prompt_tokens": 1e999}}',
    "tokens below none": b'{"choices": [{"message": {"content": "x"}}], "usage":'
    b' {"completion_tokens": -1}}',
    "deep": b"[" * 100_000,
    "digits": b"9" * 6000,
    "no UTF-8": b"\xff\xfe\xfa",
    "huge": b" " * ((1 << 24) + 1),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_chat_completion_is_asked_for_again(body, model):
    model.faults = {"dog": [b"HTTP/1.0 200 OK\r\n\r\n" + body]}
    answer = Endpoint(model.url, "m", first_wait=0.01)("Caption: dog")
    assert json.loads(answer.text)["target"] == "blue dog"
    assert model.asked == {"dog": 2}


@pytest.mark.parametrize("wait", ["-5", "nan", "inf", "-inf", "Wed, 21 Oct 2015 07:28:00 GMT", "x"])
def test_any_retry_after_is_borne(wait, model, monkeypatch):
    waits = []
    monkeypatch.setattr("rtd_adapters.triplets.endpoint.time.sleep", waits.append)
    model.faults = {"dog": [f"HTTP/1.0 429 slow down\r\nRetry-After: {wait}\r\n\r\n".encode()]}
    assert Endpoint(model.url, "m")("Caption: dog").text
    waits = [seconds for seconds in waits if seconds != 0.02]  # the server's own
    assert len(waits) == 1
    assert 0 <= waits[0] <= 60


def test_a_redirect_to_nonsense_is_no_crash(model):
    model.faults = {"dog": [b"HTTP/1.0 302 go\r\nLocation: http://[x\r\n\r\n"] * 6}
    with pytest.raises(RtdError, match=r"302|did not answer"):
        Endpoint(model.url, "m", first_wait=0.001)("Caption: dog")


def test_a_damaged_journal_is_never_taken_for_answers(captions, model, tmp_path):
    """One bit of one stored answer differs: the run refuses it and says what to do."""
    out = tmp_path / "out.jsonl"
    model.faults = {"dog 13": [401]}
    with pytest.raises(UsageError):
        run(model, captions, out)
    journal = tmp_path / "out.jsonl.work" / "answers.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b"blue", b"blve", 1))
    with pytest.raises(FileError, match=r"line \d+ is damaged\. Put a copy"):
        run(model, captions, out)
    journal.write_bytes(whole)
    assert run(model, captions, out).triplets == 24


def test_only_what_rtd_wrote_goes_with_the_work_folder(captions, model, tmp_path):
    out = tmp_path / "out.jsonl"
    model.faults = {"dog 13": [401]}
    with pytest.raises(UsageError):
        run(model, captions, out)
    (tmp_path / "out.jsonl.work" / "notes.txt").write_text("mine")
    run(model, captions, out)
    assert [path.name for path in (tmp_path / "out.jsonl.work").iterdir()] == ["notes.txt"]


def test_a_name_that_leaves_no_room_for_the_work_folder_is_refused_before_any_answer_is_paid(
    captions, model, tmp_path
):
    with pytest.raises(FileError, match="name too long"):
        run(model, captions, tmp_path / ("n" * 255))
    assert not model.asked


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
