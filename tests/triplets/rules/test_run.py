"""From captions to a file: one seed one file, whatever breaks; what is counted and refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys

import pytest

from rtd_adapters.errors import FileError, TripletError, UsageError
from rtd_adapters.io.locks import claimed
from rtd_adapters.triplets import read_triplets
from rtd_adapters.triplets.rules.run import rule_triplets
from rtd_adapters.triplets.rules.settings import RuleSettings

COUNT = 300


@pytest.fixture(scope="module")
def lines():
    draw = random.Random(0)
    colours = ["a red", "a blue", "a green", "an orange", "an old"]
    things = ["dog", "cat", "horse", "woman", "car", "box"]
    places = ["in a park", "on grass", "near two dogs", "on a table"]
    return [
        f"{draw.choice(colours)} {draw.choice(things)} {draw.choice(places)} zorp{n % 150}"
        for n in range(COUNT)
    ]


@pytest.fixture
def captions(tmp_path, lines):
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(lines))
    return path


def made(captions, out, **settings):
    counts = rule_triplets(captions, out, RuleSettings(**settings))
    return counts, list(read_triplets(out))


def test_one_triplet_of_each_caption_in_the_official_format(tmp_path, captions, lines):
    counts, triplets = made(captions, tmp_path / "out.jsonl")
    distinct = len(set(lines))
    assert counts.captions == COUNT
    assert counts.triplets == len(triplets) > 0.9 * distinct
    assert counts.triplets + sum(counts.dropped.values()) == COUNT
    assert counts.dropped["repeated caption"] == COUNT - distinct
    known = set(lines)
    assert all({t.reference, t.target} & known and t.reference != t.target for t in triplets)
    assert sum(t.target in known for t in triplets) >= counts.real > 0
    keys = {tuple(json.loads(line)) for line in (tmp_path / "out.jsonl").open()}
    assert keys == {("reference_caption", "conditioning_caption", "target_caption")}
    assert not (tmp_path / "out.jsonl.work").exists()


def test_one_seed_one_file_and_another_seed_another(tmp_path, captions):
    files = []
    for number, seed in enumerate((0, 0, 1)):
        made(captions, tmp_path / f"{number}", seed=seed)
        files.append((tmp_path / f"{number}").read_bytes())
    assert files[0] == files[1] != files[2]


def test_several_of_one_caption_and_none_twice(tmp_path, captions, lines):
    _, one = made(captions, tmp_path / "one.jsonl", real=0)
    counts, three = made(captions, tmp_path / "three.jsonl", per_caption=3, real=0)
    assert len(three) == counts.triplets > 2 * len(one)
    pairs = [(t.reference.lower(), t.target.lower()) for t in three]
    assert len(set(pairs)) == len(pairs)
    assert set(one) <= set(three)
    own = [t.reference if t.reference in set(lines) else t.target for t in three]
    assert max(own.count(caption) for caption in set(own)) == 3


def test_real_targets_by_share(tmp_path):
    path = tmp_path / "captions.txt"
    forms = ("the head of a dog on grass {}", "grass {}, the head of a cat")
    lines = [forms[n % 2].format(n) for n in range(300)]
    path.write_text("\n".join(lines))
    shares = {}
    for share in (0, 0.5, 1):
        counts, triplets = made(path, tmp_path / f"{share}.jsonl", real=share)
        from_corpus = sum({t.reference, t.target} <= set(lines) for t in triplets)
        assert from_corpus == counts.real
        shares[share] = counts.real / counts.triplets
    assert shares[0] == 0
    assert 0.4 < shares[0.5] < 0.6
    assert shares[1] > 0.97  # of eight captions that fit, all may say the same


def breaking(label, after):
    """A watch that fails in one of the passes, as a kill would."""

    def watch(rows, name):
        for number, row in enumerate(rows):
            if name == label and number == after:
                raise KeyboardInterrupt
            yield row

    return watch


@pytest.mark.parametrize("label", ["captions", "words", "pairs", "triplets"])
def test_a_broken_run_goes_on_to_the_same_file(label, tmp_path, captions):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    rule_triplets(captions, whole)
    with pytest.raises(KeyboardInterrupt):
        rule_triplets(captions, out, watch=breaking(label, 280))
    assert not out.exists()
    journal = tmp_path / "out.jsonl.work" / "captions.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])  # a torn last line
    kept = journal.read_bytes().count(b"\n")
    assert kept == (279 if label == "captions" else COUNT - 1)
    read = []
    rule_triplets(captions, out, watch=lambda rows, name: read.append(name) or noted(rows, read))
    assert read.count("captions") == 1
    assert read.index("words") - 1 == COUNT - kept  # only the rest is read
    assert out.read_bytes() == whole.read_bytes()
    assert not journal.parent.exists()


def noted(rows, read):
    for row in rows:
        read.append(0)
        yield row


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"real": 0.4}, {"per_caption": 2}, {"band": (0.5, 0.8)}]
)
def test_other_settings_are_refused(other, tmp_path, captions):
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        rule_triplets(captions, out, watch=breaking("words", 3))
    with pytest.raises(FileError, match="other settings or captions"):
        rule_triplets(captions, out, RuleSettings(**other))
    assert rule_triplets(captions, out, RuleSettings(**other), overwrite=True).triplets


def test_other_words_captions_and_encoders_are_refused(tmp_path, captions):
    out, own = tmp_path / "out.jsonl", tmp_path / "own.txt"
    own.write_text("colour adjective: puce\n")
    with pytest.raises(KeyboardInterrupt):
        rule_triplets(captions, out, watch=breaking("words", 3))
    for given in ({"kinds": own}, {"encoder": "x"}, {"column": "text"}):
        with pytest.raises(FileError, match="other settings or captions"):
            rule_triplets(captions, out, **given)
    with captions.open("a") as stream:
        stream.write("\na red dog")
    with pytest.raises(FileError, match="other settings or captions"):
        rule_triplets(captions, out)


def test_two_at_once_and_what_is_there_are_refused(tmp_path, captions):
    out = tmp_path / "out.jsonl"
    with claimed(out), pytest.raises(FileError, match=f"another run .process {os.getpid()}"):
        rule_triplets(captions, out)
    out.write_text("mine")
    with pytest.raises(FileError, match="exists already"):
        rule_triplets(captions, out)
    assert out.read_text() == "mine"


def test_an_empty_result_says_what_became_of_the_captions(tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text("caption,n\nhello there,1\n,2\na dog,3\nA DOG,4\n")
    with pytest.raises(TripletError, match=r"No triplet came of 4 captions \(") as caught:
        rule_triplets(path, tmp_path / "out.jsonl")
    for part in ("nothing in it can be changed: 2", "empty caption: 1", "repeated caption: 1"):
        assert part in str(caught.value)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("embedded", [False, True])
def test_captions_that_are_all_empty(embedded, tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text('caption\n""\n""\n')
    with pytest.raises(TripletError, match="empty caption: 2"):
        rule_triplets(path, tmp_path / "out.jsonl", embed=embed if embedded else None)


def embed(texts):
    import torch

    return torch.tensor([[len(t), t.count("a"), t.count("e"), 9.0] for t in texts])


def test_a_tower_chooses_and_what_it_takes_is_counted(tmp_path, captions):
    plain, near, none = (tmp_path / name for name in ("plain", "near", "none"))
    rule_triplets(captions, plain)
    counts = rule_triplets(captions, near, RuleSettings(band=(-1, 1)), embed=embed)
    assert counts.triplets
    assert near.read_bytes() != plain.read_bytes()
    assert counts.triplets + sum(counts.dropped.values()) == COUNT
    with pytest.raises(TripletError, match="every change is unlike the captions: "):
        rule_triplets(captions, none, RuleSettings(band=(-1, -0.9)), embed=embed)


def test_packed_captions_and_standard_input(tmp_path, captions, monkeypatch):
    out = tmp_path / "out.jsonl"
    made(captions, out)
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(captions.read_bytes()))
    made(packed, tmp_path / "packed.jsonl")
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(captions.read_bytes())))
    monkeypatch.setattr(sys, "stdin", stream)
    made("-", tmp_path / "piped.jsonl")
    assert out.read_bytes() == (tmp_path / "packed.jsonl").read_bytes()
    assert out.read_bytes() == (tmp_path / "piped.jsonl").read_bytes()


def test_words_of_ones_own_are_swapped(tmp_path):
    path, own = tmp_path / "captions.txt", tmp_path / "own.txt"
    path.write_text("a tweed zorp on a blick\na satin zorp on a blick\n")
    own.write_text("fabric adjective: tweed | satin\nthing count: zorp\n")
    with pytest.raises(TripletError, match="No triplet"):
        rule_triplets(path, tmp_path / "out.jsonl")
    counts = rule_triplets(path, tmp_path / "other.jsonl", kinds=own)
    assert counts.triplets == 2


@pytest.mark.parametrize(
    "settings", [{"band": (0.6, 0.5)}, {"band": (-2, 1)}, {"real": 1.1}, {"real": -0.1},
                 {"real": float("nan")}, {"band": (0, float("nan"))}]
)  # fmt: skip
def test_settings_out_of_range(settings):
    with pytest.raises(UsageError, match=r"--band|--real"):
        RuleSettings(**settings)
