"""The server's process: the port, the announcement, the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from rtd_adapters.cli import main
from rtd_adapters.errors import UsageError
from rtd_adapters.jobs.search import SearchInputs
from rtd_adapters.jobs.serve import ServeJob, page_note, run_serve
from rtd_adapters.search.server.run import address_of, listening


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_ended(place, patch_file, number):
    command = [sys.executable, "-m", "rtd_adapters", "serve", str(place), "--patch", patch_file]
    server = subprocess.Popen(
        [*command, "--port", "0", "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        line = server.stdout.readline()
        (address,) = re.findall(r"^(http://127\.0\.0\.1:\d+/) shows 60 pictures\.", line)
        with urllib.request.urlopen(address) as page:
            assert b"<title>rtd: search your pictures</title>" in page.read()
        server.send_signal(number)
        out, err = server.communicate(timeout=20)
    finally:
        server.kill()
    assert (server.returncode, out) == (0, "")
    assert err.splitlines() == ["loading backbone demo", "ended"]


def test_a_port_that_is_taken(place, capsys):
    with listening("127.0.0.1", 0) as own:
        port = own.getsockname()[1]
        with pytest.raises(SystemExit) as left:
            main(["serve", str(place), "--port", str(port)])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 is taken" in said
    assert "--port" in said
    assert "loading" not in said


def test_a_host_that_is_not_here():
    for host in ("192.0.2.1", "no host at all"):
        with pytest.raises(UsageError, match="--host"), listening(host, 0):
            pass


def test_it_listens_to_this_machine_alone(place):
    assert ServeJob(SearchInputs(str(place))).host == "127.0.0.1"
    with listening("127.0.0.1", 0) as own:
        assert own.getsockname()[0] == "127.0.0.1"
        assert address_of(own) == f"http://127.0.0.1:{own.getsockname()[1]}/"
    if socket.has_ipv6:
        with listening("::1", 0) as own:
            assert address_of(own) == f"http://[::1]:{own.getsockname()[1]}/"


def test_the_names_it_is_given_are_let_in(place, monkeypatch):
    started = []
    monkeypatch.setattr(
        "rtd_adapters.search.server.run.serve", lambda *given: started.append(given)
    )
    inputs = SearchInputs(str(place), device="cpu")
    run_serve(ServeJob(inputs, port=0, allow_hosts=("Pictures.lan",)))
    ((guard, own, _),) = started
    assert guard.hosts == {"localhost", "127.0.0.1", "pictures.lan"}
    assert own.fileno() == -1  # closed again


def test_without_the_extra_it_says_what_to_install(place, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("rtd_adapters.search.server.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(UsageError, match=r"fastapi is not installed.*rtd-adapters\[search\]"):
        run_serve(ServeJob(SearchInputs(str(place)), port=0))


def test_what_is_not_there_is_said_with_what_to_do(searcher, plain_searcher):
    assert page_note(searcher) == ""
    note = page_note(plain_searcher)
    assert "`rtd patch --method searle --out weights.safetensors`" in note
    assert "`--patch weights.safetensors`" in note
