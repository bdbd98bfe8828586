"""What README shows of a first patch is what comes out: every word, and nearly every number."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PATCH = "rtd patch --method searle --out weights.safetensors"
EVAL = (
    "rtd eval --method searle --patch weights.safetensors "
    "--captions-benchmark demo-captions --also-strength 0.5"
)
NUMBER = re.compile(r"[+-]?\d+\.\d+")
ELSEWHERE = 2.0
"""Points by which figures may differ on another machine or with other versions."""

pytestmark = pytest.mark.slow


def printed(command: str) -> str:
    """What a command says and then prints, in this process."""
    from rtd_adapters.cli import main

    out, said = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(said)
    with streams[0], streams[1], pytest.raises(SystemExit) as ended:
        main(command.split()[1:])
    assert not ended.value.code, said.getvalue()
    return said.getvalue() + out.getvalue()


def alike(shown: str, found: str) -> None:
    """The same words on the same lines, and numbers that are near."""
    shown, found = (
        re.sub(r"\d+ s$", "N s", text.strip(), flags=re.MULTILINE) for text in (shown, found)
    )
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (shown, found)]
    assert words[0] == words[1]
    for here, there in zip(NUMBER.findall(shown), NUMBER.findall(found), strict=True):
        assert abs(float(here) - float(there)) <= ELSEWHERE, (shown, found)


def test_the_first_patch_and_the_ways_to_use_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (first,) = re.findall(rf"^```\w*\n\$ {re.escape(PATCH)}\n(.*?)^```$", README, re.M | re.S)
    (ways,) = re.findall(rf"^{re.escape(EVAL)}\n```\n+```\w*\n(.*?)^```$", README, re.M | re.S)
    alike(first, printed(PATCH))
    alike(ways, printed(EVAL))
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert ways in page
