"""Keys and passwords are sent to whom they are for, and neither shown nor stored."""

from __future__ import annotations

import base64
import json
from html import escape
from urllib.parse import quote

import pytest
from model_server import KEY, run

from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.triplets.llm.endpoint import Endpoint
from rtd_adapters.triplets.llm.run import llm_triplets


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


def test_the_key_does_not_follow_a_redirect(model, captions, tmp_path):
    model.faults = {"dog 0": [302]}
    with pytest.raises(UsageError, match="HTTP 302"):
        run(model, captions, tmp_path / "out.jsonl", concurrency=1)
    assert model.asked == {"dog 0": 1}
