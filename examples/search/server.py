"""Composed search from any program that speaks HTTP: what `rtd serve` answers, without rtd.

    rtd serve demo --patch weights.safetensors
    python server.py --image query.png --text "is red" --strength 0 0.5 1

Needs nothing but Python. docs/search.md has the API.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError


def form(picture: bytes, fields: Iterable[tuple[str, object]]) -> tuple[bytes, str]:
    """A multipart form, and its content type."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="'
    parts = [f'{head}{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields]
    parts += [f'{head}picture"; filename="picture"\r\n\r\n'.encode(), picture, b"\r\n"]
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), f"multipart/form-data; boundary={mark}"


def ask(server: str, picture: Path, text: str, strengths: Iterable[float], k: int) -> Any:
    """The server's answer: a column for each strength of the patch."""
    fields = [("text", text), ("k", k), *(("strength", strength) for strength in strengths)]
    body, kind = form(picture.read_bytes(), fields)
    request = urllib.request.Request(f"{server}/api/search", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as said:
            return json.load(said)
    except HTTPError as error:
        raise SystemExit(json.load(error)["error"]) from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="http://127.0.0.1:8765")
    parser.add_argument("--image", type=Path, required=True, help="the reference picture")
    parser.add_argument("--text", required=True, help="what shall be otherwise, as in 'is red'")
    parser.add_argument("--strength", type=float, nargs="+", default=[0.0], help="of the patch")
    parser.add_argument("--count", type=int, default=5)
    given = parser.parse_args()
    answer = ask(given.server, given.image, given.text, given.strength, given.count)
    print(f"asked as: {answer['prompt']}")
    for column in answer["columns"]:
        print(column["name"])
        for place, hit in enumerate(column["hits"], start=1):
            print(f"  {place}. {hit['id']}  {hit['score']:.3f}")


if __name__ == "__main__":
    main()
