"""Mutates valid files of every kind and has them read: python -m tests.campaign.mutated_files.

Counted is what came of each: refused with a message, equal content, other content though a hash
should have told (a silent difference), another exception (not foreseen), no end. The readers run in
forked workers with limits of time and memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rtd_adapters import TextEncoderPatch, get_method, read_captions, read_triplets
from rtd_adapters.doctor import examine
from rtd_adapters.errors import RtdError
from rtd_adapters.evaluation.result import Result
from rtd_adapters.io.checkpoints import read_checkpoint
from rtd_adapters.io.json_files import read_json
from rtd_adapters.methods.projections import open_projection
from rtd_adapters.triplets.language.kinds import read_kinds
from rtd_adapters.triplets.llm.completion import parse_completion
from rtd_adapters.triplets.work import Journal
from tests.fuzz.damage import NASTY
from tests.fuzz.test_readers import CHECKPOINTS, COMPLETION, SHAPE, TABLES, WORDS

REFUSED, EQUAL, OTHER = "refused with a message", "equal content", "other content, unhashed kind"
SILENT, UNFORESEEN, ENDLESS = "SILENT DIFFERENCE", "NOT FORESEEN", "NO END OR NO MEMORY"
SECONDS = 20
MEMORY = 8 << 30
SHARE = 250
"""Files that a worker reads before it is replaced."""


@dataclass(frozen=True)
class Kind:
    """Files of one kind: a valid one, its reader, and whether a hash guards what is read."""

    suffix: str
    whole: bytes
    read: Callable[[Path], Any]
    hashed: bool = False


def kinds() -> dict[str, Kind]:
    """Every kind of file that rtd reads."""
    made = {
        f"checkpoint {suffix}": Kind(suffix, whole, read_checkpoint)
        for suffix, whole in CHECKPOINTS.items()
    }
    for suffix, whole in CHECKPOINTS.items():
        made[f"projection {suffix}"] = Kind(suffix, whole, _projection)
        made[f"doctor {suffix}"] = Kind(suffix, whole, examine)
    for name, whole in TABLES.items():
        made[f"triplets {name}"] = Kind(name, whole, lambda path: list(read_triplets(path)))
        made[f"captions {name}"] = Kind(name, whole, lambda path: list(read_captions(path)))
    made["patch"] = Kind(".safetensors", _patch(), _patched_tower, hashed=True)
    made["journal"] = Kind(".jsonl", _journal(), _journal_rows, hashed=True)
    made["words by kind"] = Kind(".txt", WORDS, lambda path: list(read_kinds(path).terms()))
    completion = json.dumps(COMPLETION).encode()
    made["answer"] = Kind(".json", completion, lambda path: parse_completion(path.read_bytes()))
    made["JSON"] = Kind(".json", completion, read_json)
    made["result"] = Kind(".json", _result(), lambda path: Result.load(path).to_dict())
    return made


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """A file with one to four pieces of damage, as `tests.fuzz.damage` draws them."""
    data = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        reach = draw.choice([min(len(data), 512), len(data)])
        place, length = draw.randrange(max(reach, 1)), draw.randint(1, 64)
        kind = draw.choice(["flip", "cut", "hole", "repeat", "foreign", "zeros"])
        if kind == "flip" and data:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == "cut":
            del data[place:]
        elif kind == "hole":
            del data[place : place + length]
        elif kind == "repeat":
            data[place:place] = data[place : place + length]
        elif kind == "foreign":
            data[place:place] = draw.choice([*NASTY, draw.randbytes(length)])
        elif kind == "zeros":
            data[place : place + length] = bytes(length)
    return bytes(data)


def outcome(kind: Kind, data: bytes, folder: Path, expected: str) -> tuple[str, str]:
    """What came of a file, and where an exception that was not foreseen was raised."""
    path = folder / f"file{'-' if kind.suffix[0] != '.' else ''}{kind.suffix}"
    path.write_bytes(data)
    signal.alarm(SECONDS)
    try:
        found = _shown(kind.read(path))
    except RtdError:
        return REFUSED, ""
    except (TimeoutError, MemoryError) as error:
        return ENDLESS, repr(error)
    except BaseException:
        return UNFORESEEN, "".join(traceback.format_exc().splitlines(True)[-4:])
    finally:
        signal.alarm(0)
    if found == expected:
        return EQUAL, ""
    return (SILENT if kind.hashed else OTHER), ""


def work(name: str, kind: Kind, seed: int, count: int, pipe: Any) -> None:
    """Read `count` mutated files of a kind, and send what came of each."""

    def stop(*arguments: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    draw = random.Random(f"{name} {seed}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / f"whole{kind.suffix}").write_bytes(kind.whole)
        expected = REFUSED  # of a kind whose reader finds nothing that it knows
        with suppress(RtdError):
            expected = _shown(kind.read(place / f"whole{kind.suffix}"))
        for _ in range(count):
            pipe.send(outcome(kind, mutated(kind.whole, draw), place, expected))
    pipe.close()


def main() -> None:
    """Read so many mutated files, and print a table and what was not foreseen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    made = kinds()
    names = list(made)
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    details: Counter[str] = Counter()
    shares = [min(SHARE, given.count - start) for start in range(0, given.count, SHARE)]
    for number, share in enumerate(shares):
        name = names[number % len(names)]
        for what, where in _forked(name, made[name], given.seed + number, share):
            counts[name][what] += 1
            if where:
                details[f"{name}: {where}"] += 1
    for name, found in counts.items():
        print(f"{name:<24}", ", ".join(f"{n} {what}" for what, n in sorted(found.items())))
    total = sum(counts.values(), Counter[str]())
    print(f"{'all':<24}", ", ".join(f"{n} {what}" for what, n in sorted(total.items())))
    for where, count in details.most_common():
        print(f"\n{count} times {where}")


def _forked(name: str, kind: Kind, seed: int, count: int) -> list[tuple[str, str]]:
    """A worker's outcomes; one that died has none for the file that killed it, nor the rest."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=work, args=(name, kind, seed, count, theirs))
    worker.start()
    theirs.close()
    found = []
    try:
        while ours.poll(2 * SECONDS):
            found.append(ours.recv())
    except EOFError:
        pass
    else:
        worker.kill()
    worker.join()
    if len(found) < count:
        found.append((ENDLESS, f"the worker ended with {worker.exitcode} at file {len(found)}"))
    return found


def _shown(value: Any) -> str:
    """Content as text, tensors in full."""
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{value.tolist()}"
    if isinstance(value, dict):
        return repr({key: _shown(value[key]) for key in sorted(value, key=str)})
    return repr(value)


def _projection(path: Path) -> Any:
    module = open_projection(get_method("searle"), path, SHAPE)
    return repr(module)


def _patch() -> bytes:
    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.text import TextTower, TowerConfig

    torch.manual_seed(0)
    tower = TextTower(TowerConfig(8, 1, 1, 8, "gelu", vocab_size=30, context_length=6))
    backbone = Backbone("tiny", None, tower, SHAPE, None, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "patch.safetensors"
        TextEncoderPatch.create("full", backbone, get_method("searle")).save(path)
        return path.read_bytes()


def _patched_tower(path: Path) -> Any:
    return dict(TextEncoderPatch.load(path).state())


def _journal() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.jsonl"
        with Journal(path).writing() as writer:
            for number in range(3):
                writer.append({"number": number, "triplet": ["a", "b", "c"], "tokens": [1, 2]})
        return path.read_bytes()


def _journal_rows(path: Path) -> Any:
    """One answer for every journal that was cut short: the rows before the cut are as they were."""
    rows = list(Journal(path))
    whole = [{"number": n, "triplet": ["a", "b", "c"], "tokens": [1, 2]} for n in range(3)]
    return "rows that were written" if all(row in whole for row in rows) else rows


def _result() -> bytes:
    record = {"id": "1", "part": "", "reference": "a", "text": "is red", "targets": ["b"]}
    record |= {"category": "", "base_rank": 1, "patched_rank": 2, "base_top": [], "patched_top": []}
    record["answers"] = 1
    result = {"method": "m", "benchmark": "b", "split": "val", "base": {"recall@1": 50.0}}
    result |= {"patched": {"recall@1": 60.0}, "intervals": {"recall@1": [1.0, 2.0]}}
    return json.dumps(result | {"queries": [record], "settings": {"prompt": "p"}}).encode()


if __name__ == "__main__":
    main()
