"""Batches: the same file as by single requests, whatever breaks, and nothing is paid for twice."""

from __future__ import annotations

import json

import pytest
from batch_desk import BatchDesk
from model_server import KEY, SAYS, batched, no_purple, run

from rtd_adapters.errors import FileError, TripletError, UsageError
from rtd_adapters.triplets import read_triplets
from rtd_adapters.triplets.llm.batch_lines import parse_lines
from rtd_adapters.triplets.llm.batches import Batches
from rtd_adapters.triplets.llm.completion import Answer
from rtd_adapters.triplets.llm.endpoint import Endpoint
from rtd_adapters.triplets.llm.ledger import NO_ANSWER
from rtd_adapters.triplets.llm.run import batch_triplets
from rtd_adapters.triplets.work import JournalWriter


def requests_of(model):
    """Names of the requests of each batch, in the order in which they were made."""
    files = [batch["input_file_id"] for batch in model.desk.batches.values()]
    return [
        [json.loads(line)["custom_id"] for line in model.desk.files[file].splitlines()]
        for file in files
    ]


def test_batches_give_the_file_of_single_requests(model, captions, tmp_path):
    single, out = tmp_path / "single.jsonl", tmp_path / "out.jsonl"
    model.says = SAYS
    expected = run(model, captions, single, faults=no_purple)
    single_talks = {caption: list(talks) for caption, talks in model.talks.items()}
    model.talks.clear()
    said = []
    assert batched(model, captions, out, say=said.append) == expected
    assert out.read_bytes() == single.read_bytes()
    assert model.talks == single_talks
    assert model.headers == {f"Bearer {KEY}"}
    first, second = requests_of(model)
    assert first == [f"{n}-1" for n in range(24)]
    assert second == [f"{n}-2" for n in (2, 4, 6, 8, 9)]
    assert said[0] == "batch batch_0 is submitted: 24 requests"
    assert said[1:3] == ["batch batch_0: in progress", "batch batch_0: finalizing"]
    assert not (tmp_path / "out.jsonl.work").exists()


def test_the_limits_of_a_file_are_kept_by_several(model, captions, tmp_path):
    model.desk.most_requests = 7
    assert batched(model, captions, tmp_path / "a", most_requests=7).triplets == 24
    assert [len(names) for names in requests_of(model)] == [7, 7, 7, 3]
    alike = tmp_path / "alike.txt"
    alike.write_text("".join(f"dog {n}\n" for n in range(10, 20)))
    length = len(model.desk.files["file-2"].splitlines(True)[0]) - 1  # 9-1, not 14-1
    for spare, sizes in ((0, [5, 5]), (-1, [4, 4, 2])):
        model.desk.batches.clear()
        model.desk.most_bytes = 5 * length + spare
        out = tmp_path / f"{spare}"
        assert batched(model, alike, out, most_bytes=5 * length + spare).triplets == 10
        assert [len(names) for names in requests_of(model)] == sizes


def test_the_limits_are_those_of_the_api():
    batches = Batches(Endpoint("http://localhost/v1", "m"))
    assert batches.most_requests == BatchDesk(None).most_requests == 50_000
    assert batches.most_bytes == BatchDesk(None).most_bytes == 200_000_000


def test_lines_that_fail_go_into_one_more_batch_and_no_third(model, captions, tmp_path):
    model.says = SAYS
    model.faults = {
        "dog 1": [429],
        "dog 3": [500, 500],
        "dog 5": ["expired"],
        "dog 7": ["missing", "missing"],
        "dog 2": [None, 400],
    }
    counts = batched(model, captions, tmp_path / "out.jsonl")
    first, second, third = requests_of(model)
    assert len(first) == 24
    assert set(second) == {"1-1", "3-1", "5-1", "7-1", *(f"{n}-2" for n in (2, 4, 6, 8, 9))}
    assert third == ["2-2"]
    assert counts.submitted_again == {
        "HTTP 429": 1, "HTTP 500": 1, "HTTP 400": 1, "expired": 1, "no line in the batch": 1,
    }  # fmt: skip
    assert counts.dropped[NO_ANSWER] == 2
    assert counts.triplets == 19
    assert set(model.desk.answered.values()) == {1}


def broken_after(monkeypatch, number, method):
    """The process dies when its run writes its row of that number, before or after it is there."""
    written = iter(range(1, number + 1))
    real = getattr(JournalWriter, method)

    def dies(self, *arguments):
        if next(written, None) is None:
            raise KeyboardInterrupt
        real(self, *arguments)

    monkeypatch.setattr(JournalWriter, method, dies)


@pytest.mark.parametrize("method", ["append", "flush"])
def test_killed_at_any_row_it_waits_for_the_same_batches_and_pays_for_nothing_twice(
    method, model, tmp_path, monkeypatch
):
    """`append`: what was done is not written down. `flush`: the last thing the run did."""
    captions, whole = tmp_path / "c.txt", tmp_path / "whole.jsonl"
    captions.write_text("dog 1\ndog 2\ndog 4\ndog 6\ndog 7\n")
    model.says = SAYS
    model.faults = {"dog 7": [500]}
    expected = batched(model, captions, whole, most_requests=3)
    for number in range(100):
        model.desk.answered.clear(), model.desk.batches.clear()
        model.faults = {"dog 7": [500]}
        out = tmp_path / f"{number}.jsonl"
        with monkeypatch.context() as patched:
            broken_after(patched, number, method)
            try:
                batched(model, captions, out, most_requests=3)
                break
            except KeyboardInterrupt:
                pass
        assert batched(model, captions, out, most_requests=3) == expected
        assert out.read_bytes() == whole.read_bytes()
        assert set(model.desk.answered.values()) == {1}, number
        # a batch killed in its middle has second questions submitted before the others'
        names = [name for names in requests_of(model) for name in names]
        assert sorted(names) == ["0-1", "1-1", "1-2", "2-1", "2-2", "3-1", "3-2", "4-1", "4-1"]
    assert number > 20


@pytest.mark.parametrize("fault", ["lost", 500, 429])
def test_a_batch_whose_making_was_not_answered_is_looked_for_before_it_is_made_again(
    fault, model, captions, tmp_path
):
    model.desk.faults = {"batches": [fault], "files": ["lost"], "state": [503], "content": [500]}
    post = model.desk.post

    def busy(path, *more):
        """Others make so many batches that ours is not on the list's first page."""
        made = post(path, *more)
        for number in range(150):
            name = f"theirs_{len(model.desk.batches)}_{number}"
            model.desk.batches[name] = {"id": name, "input_file_id": "theirs"}
        return made

    model.desk.post = busy
    assert batched(model, captions, tmp_path / "out.jsonl").triplets == 24
    ours = [b for b in model.desk.batches.values() if b["input_file_id"] != "theirs"]
    assert len(ours) == 1
    assert set(model.desk.answered.values()) == {1}


def test_what_cannot_be_told_is_not_paid_for_on_a_guess(model, captions, tmp_path):
    model.desk.faults, model.desk.lists = {"batches": ["lost"]}, False
    for _ in range(2):
        with pytest.raises(UsageError, match="cannot be told without the server's list"):
            batched(model, captions, tmp_path / "out.jsonl")
    assert len(model.desk.batches) == 1
    model.desk.lists = True
    assert batched(model, captions, tmp_path / "out.jsonl").triplets == 24
    assert len(model.desk.batches) == 1


def test_a_download_that_is_cut_is_fetched_again(model, captions, tmp_path):
    model.desk.faults = {"content": ["cut", "cut"]}
    assert batched(model, captions, tmp_path / "out.jsonl").triplets == 24
    assert len(model.desk.batches) == 1


def test_a_batch_that_the_server_refuses_says_why_and_is_submitted_anew(model, captions, tmp_path):
    model.desk.endings = ["failed"]
    with pytest.raises(UsageError, match=r"refuses batch batch_0.*no such model.*same command"):
        batched(model, captions, tmp_path / "out.jsonl")
    counts = batched(model, captions, tmp_path / "out.jsonl")
    assert (counts.triplets, counts.submitted_again) == (24, {})
    assert [len(names) for names in requests_of(model)] == [24, 24]


def test_of_a_cancelled_batch_what_was_answered_is_kept(model, captions, tmp_path):
    model.desk.endings = ["cancelled"]
    with pytest.raises(TripletError, match="batch_0 was cancelled"):
        batched(model, captions, tmp_path / "out.jsonl")
    assert batched(model, captions, tmp_path / "out.jsonl").triplets == 24
    assert [len(names) for names in requests_of(model)] == [24, 22]
    assert set(model.desk.answered.values()) == {1}


def test_a_batch_that_expired_goes_into_another(model, captions, tmp_path):
    model.desk.endings = ["expired"]
    model.faults = {f"dog {n}": ["missing" if n % 2 else "expired"] for n in range(24)}
    counts = batched(model, captions, tmp_path / "out.jsonl")
    assert (counts.triplets, counts.submitted_again) == (24, {"expired": 24})


def test_a_batch_without_any_answer_stops_the_run_before_its_requests_are_given_up(
    model, captions, tmp_path
):
    model.faults = {f"dog {n}": [404] * (2 if n == 3 else 1) for n in range(24)}
    with pytest.raises(TripletError, match=r"batch_0 holds no answer \(HTTP 404: 24\)"):
        batched(model, captions, tmp_path / "out.jsonl")
    counts = batched(model, captions, tmp_path / "out.jsonl")
    assert (counts.triplets, counts.dropped) == (23, {NO_ANSWER: 1})
    assert len(model.desk.batches) == 2


def test_a_server_that_is_gone_is_waited_for_again_by_the_same_command(model, captions, tmp_path):
    model.desk.faults = {"state": [503] * 6}
    with pytest.raises(TripletError, match="go on, with the same batches"):
        batched(model, captions, tmp_path / "out.jsonl")
    assert batched(model, captions, tmp_path / "out.jsonl").triplets == 24
    assert len(model.desk.batches) == 1


def test_batches_and_single_requests_do_not_go_on_with_each_other(model, captions, tmp_path):
    model.desk.faults = {"state": [503] * 6}
    with pytest.raises(TripletError):
        batched(model, captions, tmp_path / "out.jsonl")
    with pytest.raises(FileError, match="other settings"):
        run(model, captions, tmp_path / "out.jsonl", faults=no_purple)


def test_no_key_is_shown_or_stored(model, captions, tmp_path):
    real = model.desk.get
    model.desk.get = lambda path: (
        (403, f"key was {KEY}".encode()) if "/batches/" in path else real(path)
    )
    with pytest.raises(UsageError, match=r"key was \*\*\*"):
        batched(model, captions, tmp_path / "out.jsonl")
    for path in (tmp_path / "out.jsonl.work").iterdir():
        assert KEY not in path.read_text()


def test_a_query_of_the_address_goes_with_every_request(model, captions, tmp_path):
    asked, real = [], model.desk.get
    model.desk.get = lambda path: asked.append(path) or real(path)
    model.desk.faults = {"batches": [500]}
    endpoint = Endpoint(f"{model.url}?api_key=qk-0123456789", "m", first_wait=0.001)
    batch_triplets(captions, tmp_path / "out.jsonl", Batches(endpoint), identity={})
    assert asked[0] == "/v1/batches?api_key=qk-0123456789&limit=100"
    assert all("?api_key=qk-0123456789" in path for path in (*asked, *model.paths))


REPLIES = {
    "batches": [b"[]", b"7", b"{", b'{"id": 7}', b'{"id": ""}', b"{}"],
    "files": [b"[]", b"null", b'{"id": {}}'],
    "state": [
        b"[]",
        b'{"status": "lost"}',
        b'{"status": []}',
        b'{"status": "completed", "output_file_id": 7}',
    ],
}


@pytest.mark.parametrize(("name", "body"), [(n, body) for n in REPLIES for body in REPLIES[n]])
def test_a_reply_of_another_form_is_asked_for_again(name, body, model, captions, tmp_path):
    desk, once = model.desk, [body]
    real_get, real_post = desk.get, desk.post

    def is_it(path):
        return "/batches/" in path if name == "state" else path.endswith(f"/{name}")

    desk.get = lambda path: (200, once.pop()) if once and is_it(path) else real_get(path)
    desk.post = lambda path, *more: (
        (200, once.pop()) if once and is_it(path) else real_post(path, *more)
    )
    assert batched(model, captions, tmp_path / "out.jsonl").triplets == 24
    assert not once
    assert len(desk.batches) == 1


def test_ids_of_a_server_stay_parts_of_a_path(model, captions, tmp_path):
    asked = []
    real = model.desk.get

    def get(path):
        asked.append(path)
        return real("/v1/batches/batch_0" if "evil" in path else path)

    model.desk.get = get
    real_post = model.desk.post
    model.desk.post = lambda path, *more: (
        (200, real_post(path, *more)[1].replace(b"batch_0", b"../evil?x=1#\\ud800"))
        if path.endswith("/batches")
        else real_post(path, *more)
    )
    assert batched(model, captions, tmp_path / "out.jsonl").triplets == 24
    assert asked[0] == "/v1/batches/..%2Fevil%3Fx%3D1%23%3F"


def line(**fields):
    return json.dumps({"custom_id": "0-1", **fields}).encode() + b"\n"


GOOD = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 3}}


@pytest.mark.parametrize(
    ("text", "outcomes"),
    [
        (line(response={"status_code": 200, "body": GOOD}), [Answer("x", 3, 0)]),
        (line(response={"status_code": 200, "body": GOOD}, error=None), [Answer("x", 3, 0)]),
        (line(response={"status_code": 200, "body": {}}), ["no chat completion"]),
        (line(response={"status_code": 200}), ["no chat completion"]),
        (line(response={"status_code": 404, "body": GOOD}), ["HTTP 404"]),
        (line(response={"status_code": "\u001b[2J"}), ["failed on the server"]),
        (line(response={"status_code": 10**9}), ["failed on the server"]),
        (line(response=None, error={"code": "batch_expired"}), ["expired"]),
        (line(response=None, error={"code": "?"}), ["failed on the server"]),
        (line(response=[1]), ["failed on the server"]),
        (line(), ["failed on the server"]),
        (b"[]\n7\n{\n\n" + line(), ["failed on the server"]),
        (json.dumps({"custom_id": 7}).encode(), []),
        (b"", []),
    ],
)
def test_lines_are_read_without_trust(text, outcomes):
    assert [line.outcome for line in parse_lines(text)] == outcomes


def test_a_last_line_that_is_cut_is_no_line_that_failed():
    with pytest.raises(TripletError, match="cut off"):
        parse_lines(line() + line()[:12])


def test_lines_of_no_request_and_repeated_ones_are_passed_over(model, captions, tmp_path):
    real = model.desk.get

    def get(path):
        code, body = real(path)
        if path.endswith("/content"):
            bad = body.replace(b"is blue", b"is bad")
            body = body + bad + body.replace(b'"custom_id": "', b'"custom_id": "9')
        return code, body

    model.desk.get = get
    out = tmp_path / "out.jsonl"
    assert batched(model, captions, out).triplets == 24
    assert {triplet.conditioning for triplet in read_triplets(out)} == {"is blue"}
