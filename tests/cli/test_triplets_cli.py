"""`rtd triplets` as a user runs it."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from rtd_adapters.triplets import read_triplets


@pytest.fixture
def captions(tmp_path):
    draw = random.Random(0)
    words = [["red", "blue", "old", "small"], ["dog", "cat", "horse", "boat"], ["grass", "road"]]
    path = tmp_path / "captions.txt"
    path.write_text(
        "".join(
            "a {} {} on the {} number {}\n".format(*map(draw.choice, words), n) for n in range(1500)
        )
    )
    return path


def test_rules_then_check_then_sample(rtd, captions, tmp_path):
    out, html, clean = tmp_path / "t.jsonl", tmp_path / "t.html", tmp_path / "c.jsonl"
    made = rtd("triplets", "rules", captions, "--out", out)
    assert made.returncode == 0, made.stderr
    found = re.search(r"([\d,]+) triplets of 1,500 captions", made.stderr)
    lines = out.read_text().splitlines()
    assert int(found[1].replace(",", "")) == len(lines) > 1400
    said = re.search(r"targets that are captions of .*captions\.txt: ([\d,]+)\n", made.stderr)
    known = set(captions.read_text().splitlines())
    real = sum(json.loads(line)["target_caption"] in known for line in lines)
    assert 100 < int(said[1].replace(",", "")) <= real
    again = rtd("triplets", "rules", captions, "--out", out)
    assert again.returncode == 1
    assert "--overwrite" in again.stderr
    checked = rtd("triplets", "check", out, "--json", "--html", html, "--fix", clean, "-q")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["verdict"] == "uniform"  # rules ask in few ways
    assert html.read_text().startswith("<!doctype html>")
    assert list(read_triplets(clean)) == list(read_triplets(out))
    shown = rtd("triplets", "sample", out, "-n", 3, "--json")
    rows = json.loads(shown.stdout)
    assert len(rows) == 3
    assert all(json.dumps(row) in out.read_text() for row in rows)
    assert "reference" in rtd("triplets", "sample", out).stdout


def test_the_band_is_of_the_backbone(rtd, captions, tmp_path):
    few, texts = tmp_path / "few.txt", {}
    few.write_text("\n".join(captions.read_text().splitlines()[:300]))
    for band in ("-1 1", "0.3 0.8"):
        out = tmp_path / f"{band}.jsonl"
        made = rtd(
            "triplets", "rules", few, "--out", out, "--backbone", "demo",
            "--band", *band.split(), "-q",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        assert made.stderr == ""
        texts[band] = out.read_text()
    assert texts["-1 1"] != texts["0.3 0.8"]
    nothing = rtd("triplets", "rules", few, "-o", tmp_path / "n", "--backbone", "demo",
                  "--band", "-1", "-0.99")  # fmt: skip
    assert nothing.returncode == 1
    assert re.search(r"every change is unlike the captions: 300", nothing.stderr)


def test_words_of_ones_own_and_the_share_of_real_targets(rtd, tmp_path):
    captions, own = tmp_path / "captions.txt", tmp_path / "own.txt"
    captions.write_text("a tweed zorp on a blick\nblick with the zorp that is satin\n")
    own.write_text("fabric adjective: tweed | satin\nthing count: zorp\n")
    command = ("triplets", "rules", captions, "--out", tmp_path / "out.jsonl")
    assert rtd(*command).returncode == 1
    made = rtd(*command, "--kinds", own, "--real", 1, "--overwrite")
    assert made.returncode == 0, made.stderr
    assert "captions.txt: 2\n" in made.stderr
    own.write_text("fabric: tweed\n")
    bad = rtd(*command, "--kinds", own, "--overwrite")
    assert bad.returncode == 1
    assert "own.txt, line 1 is 'fabric: tweed'" in bad.stderr
    wrong = rtd(*command, "--real", 1.5, "--overwrite")
    assert wrong.returncode == 2
    assert "--real" in wrong.stderr
    swapped = rtd(*command, "--band", 0.9, 0.5, "--overwrite")
    assert swapped.returncode == 2
    assert "the low end is above the high one" in swapped.stderr


def test_unfit_files_give_exit_code_1_and_reasons(rtd, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("src,edit,dst\na,b,c\n,d,e\n")
    unfit = rtd("triplets", "check", path)
    assert unfit.returncode == 1
    assert "None of 2 rows is a triplet" in unfit.stdout
    assert "it has src, edit, dst" in unfit.stdout
    mapped = rtd(
        "triplets", "check", path, "--columns", "reference=src,conditioning=edit,target=dst"
    )
    assert "line 3: src is empty" in mapped.stdout
    wrong = rtd("triplets", "check", path, "--columns", "src")
    assert wrong.returncode == 2
    assert rtd("triplets", "check", tmp_path / "none.jsonl").returncode == 1


def test_lengths_are_judged_by_the_backbone_that_reads_them(rtd, tmp_path):
    """The demo reads 40 tokens; 50 words are too long for it, and not for CLIP's 77."""
    path = tmp_path / "t.jsonl"
    long = " ".join(["dog"] * 50)
    names = ("reference_caption", "conditioning_caption", "target_caption")
    path.write_text(json.dumps(dict(zip(names, (long, "is red", f"a {long}"), strict=True))) + "\n")
    plain = rtd("triplets", "check", path)
    assert re.search(r"texts over 77 tokens +0\n", plain.stdout)
    demo = rtd("triplets", "check", path, "--backbone", "demo")
    assert re.search(r"texts over 40 tokens +2\n", demo.stdout)
    found = json.loads(rtd("triplets", "check", path, "--backbone", "demo", "--json").stdout)
    assert (found["context_length"], found["truncated_texts"]) == (40, 2)


def test_check_refuses_before_it_reads(rtd, tmp_path):
    piped = rtd("triplets", "check", "-", "--fix", tmp_path / "clean.jsonl")
    assert piped.returncode == 2
    assert "standard input cannot be" in piped.stderr
    weights = rtd("triplets", "check", tmp_path / "none.jsonl", "--pretrained", "openai")
    assert weights.returncode == 2
    assert "--pretrained needs --backbone" in weights.stderr
    (tmp_path / "report.html").write_text("mine")
    taken = rtd("triplets", "check", tmp_path / "none.jsonl", "--html", tmp_path / "report.html")
    assert taken.returncode == 1
    assert "exists already" in taken.stderr
    assert (tmp_path / "report.html").read_text() == "mine"


def test_llm_usage(rtd, captions, tmp_path):
    prompt = rtd("triplets", "llm", "--show-prompt")
    assert "{caption}" in prompt.stdout
    both = rtd("triplets", "llm", captions, "-o", tmp_path / "o", "--endpoint", "http://x/v1")
    assert both.returncode == 2
    assert "--local" in both.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_kill_9_in_the_middle_then_the_same_file_as_without(rtd, captions, tmp_path):
    many = tmp_path / "many.txt"
    many.write_text("".join(f"{text} {n}\n" for n in range(2) for text in
                            captions.read_text().splitlines()))  # fmt: skip
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    options = ("-q", "--out")
    assert rtd("triplets", "rules", many, *options, whole).returncode == 0
    command = [sys.executable, "-m", "rtd_adapters", "triplets", "rules", many, *options, out]
    process = subprocess.Popen(list(map(str, command)), env=os.environ)
    journal = tmp_path / "out.jsonl.work" / "captions.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 30_000):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    assert journal.exists()
    assert rtd("triplets", "rules", many, *options, out).returncode == 0
    assert out.read_bytes() == whole.read_bytes()
