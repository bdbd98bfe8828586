"""The script that asks the server over HTTP, run as a reader runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "examples" / "search" / "server.py"


def run(*arguments):
    command = [sys.executable, "-S", SCRIPT, *map(str, arguments)]  # no installed package is seen
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_script_prints_what_the_server_says(client, folder):
    picture = folder / "00003.png"
    server = ("--server", f"http://127.0.0.1:{client.port}", "--image", picture)
    ran = run(*server, "--text", "is blue", "--strength", 0, 1, "--count", 2)
    assert ran.returncode == 0, ran.stderr
    said = client.search(picture=picture.read_bytes(), text="is blue", strength=[0, 1], k=2).json
    expected = ["asked as: a photo of $ that is blue"]
    for column in said["columns"]:
        expected.append(column["name"])
        expected += [f"  {n}. {h['id']}  {h['score']:.3f}" for n, h in enumerate(column["hits"], 1)]
    assert ran.stdout.splitlines() == expected


def test_it_says_what_the_server_refuses(client, folder):
    ran = run("--server", f"http://127.0.0.1:{client.port}", "--image", SCRIPT, "--text", "is blue")
    assert ran.returncode == 1
    assert "cannot be read as a picture" in ran.stderr
