"""Batches prepared ahead: the same bytes, and no pack left to make in the step."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from several_processes import finish, start, write_inputs

from rtd_adapters.errors import TripletError, UsageError
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.training import (
    FastEngine,
    RunOptions,
    Trainer,
    TrainingSettings,
    packed_texts,
    preparation,
)
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.packing import share_beginnings
from rtd_adapters.training.preparation import Apart, Preparation, hollow_towers
from rtd_adapters.training.resume import list_checkpoints
from rtd_adapters.training.step import StepContext, Towers
from rtd_adapters.triplets import Triplet, read_triplets, sources, write_triplets


@pytest.fixture
def packed_here(monkeypatch):
    """Packs that this process has made."""
    made, pack = [], packed_texts._packed
    monkeypatch.setattr(packed_texts, "_packed", lambda *given: made.append(1) or pack(*given))
    return made


@pytest.fixture
def run(searle, toy_projection, toy_backbone, toy_triplets, monkeypatch):
    """Trains a patch on the toy backbone; its workers are waited for."""
    monkeypatch.setattr(preparation, "PATIENCE", 60.0)

    def run(engine=None, triplets=toy_triplets, options=None, **settings):
        settings = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3} | settings
        patch = TextEncoderPatch.create("full", toy_backbone, searle)
        options = options or RunOptions(quiet=True)
        chosen = TrainingSettings(**settings)
        trainer = Trainer(searle, toy_projection, toy_backbone, triplets, chosen, options, engine)
        return patch.fit(trainer), patch.state()

    return run


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Cut(FastEngine):
    """Dies in the fifth step."""

    calls = 0

    def step(self, batch, backward):
        Cut.calls += 1
        if Cut.calls == 5:
            raise KeyboardInterrupt
        return super().step(batch, backward)


def test_killed_and_resumed_with_workers_gives_the_bytes_of_a_run_without(
    run, tmp_path, packed_here
):
    """Of triplets in a file and with accumulation; each run has another number of workers."""

    def options(workers, **more):
        return RunOptions(
            folder=tmp_path / "run", checkpoint_every=2, prefetch=workers, quiet=True, **more
        )

    settings = {"gradient_accumulation": 2, "keep_alignment": True}
    plain, whole = run(**settings, options=RunOptions(quiet=True, prefetch=0))
    assert packed_here
    packed_here.clear()
    Cut.calls = 0
    with pytest.raises(KeyboardInterrupt):
        run(Cut, **settings, options=options(2))
    assert len(list_checkpoints(tmp_path / "run")) == 1
    record, resumed = run(**settings, options=options(1, resume=True))
    assert not packed_here
    assert record.losses == plain.losses[2:]
    assert same(whole, resumed)


def test_triplets_in_a_file_are_drawn_there_and_bad_ones_are_told_of(
    run, tmp_path, toy_triplets, monkeypatch
):
    """What the tokenizer notes comes back too."""
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "INDEXED", 0)
    path = tmp_path / "t.jsonl"
    rows = [replace(row, conditioning=f"{row.conditioning} $") for row in toy_triplets]
    rows[3::5] = [Triplet("a dog " * 40, "is big", f"a cat {n}") for n in range(len(rows[3::5]))]
    write_triplets(path, rows)
    plain, whole = run(triplets=read_triplets(path), options=RunOptions(quiet=True, prefetch=0))
    ahead = RunOptions(quiet=True, prefetch=1)
    with pytest.warns(UserWarning, match="A text of 82 tokens was cut to 32: 'a dog"):
        record, patched = run(triplets=read_triplets(path), options=ahead)
    assert same(whole, patched)
    assert (record.texts_cut, record.texts_cleaned) == (plain.texts_cut, plain.texts_cleaned)
    assert record.texts_cut == 1
    assert record.texts_cleaned > 2
    lines = path.read_text().splitlines()
    lines[1::2] = ["{}"] * len(lines[1::2])
    lines[::8] = [json.dumps(dict.fromkeys(json.loads(line), "x y")) for line in lines[::8]]
    path.write_text("\n".join(lines))
    monkeypatch.setattr("rtd_adapters.triplets.indexed.CHECKED", 1)
    with pytest.raises(TripletError, match=r"t\.jsonl, line \d+: no reference_caption"):
        run(triplets=read_triplets(path), options=ahead)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"chunk_size": 3},
        {"refined_batch": False},
        {"concat": "text"},
        {"keep_alignment": True, "local_negatives": True},
        {"rank": 1},
    ],
    ids=str,
)
def test_every_pack_of_a_step_is_made_ahead(
    changes, searle, toy_projection, toy_backbone, toy_triplets, packed_here, monkeypatch
):
    rank = changes.pop("rank", None)
    settings = TrainingSettings(steps=1, batch_size=8, **changes)
    tower = pickle.loads(pickle.dumps(toy_backbone.tower)).requires_grad_(True)
    towers = Towers(searle, toy_projection, toy_backbone.tower, tower, searle.tokenizer(tower))
    stream = TripletStream(
        toy_triplets, towers.tokenizer, batch_size=8, seed=0, keep_alignment=settings.keep_alignment
    )
    processes = Apart(rank or 0, 1 if rank is None else 2)
    made = Preparation(stream, hollow_towers(towers), settings, processes)
    batch = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(made))(3))).batch
    assert batch == stream.batch(3)
    packed_here.clear()

    def gradients(batch):
        tower.zero_grad()
        context = StepContext(processes=processes)
        loss = FastEngine(towers, settings, context).step(batch, torch.Tensor.backward)
        return [loss, *(p.grad for p in tower.parameters() if p.grad is not None)]

    def doubled(self, mine, length):
        return mine.detach().repeat(2, *[1] * (mine.dim() - 1))[:length]

    monkeypatch.setattr(Apart, "gather", doubled)
    ahead = gradients(batch)
    assert not packed_here
    here = gradients(stream.batch(3))
    assert packed_here
    for one, other in zip(ahead, here, strict=True):
        one, other = (t.to_dense() if t.is_sparse else t for t in (one, other))
        assert torch.equal(one, other)


@pytest.mark.slow
def test_two_processes_with_workers_give_the_bytes_of_two_without(
    tmp_path, toy_backbone, toy_projection, toy_triplets, monkeypatch
):
    folder = write_inputs(tmp_path, toy_backbone, toy_projection, toy_triplets)
    found = []
    for workers in ("0", "1"):
        monkeypatch.setenv("PREFETCH", workers)
        codes, errors = finish(start(folder, 2, {"gradient_accumulation": 2}))
        assert codes == [0, 0], errors
        found.append(load_file(folder / "2-0.safetensors"))
    assert len(found[0]) > 10
    assert same(*found)


def test_a_tree_is_that_of_a_plain_loop():
    """Nodes are numbered column by column, in the order of their beginnings."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        rows, width, words = (
            int(torch.randint(1, n, (1,), generator=generator)) for n in (30, 9, 5)
        )
        keys = torch.randint(0, words, (rows, width), generator=generator)
        ends = torch.randint(0, width, (rows,), generator=generator)
        pack = share_beginnings(keys, ends)
        nodes, texts = [], [keys[r, : ends[r] + 1].tolist() for r in range(rows)]
        for column in range(width):
            alive = {tuple(text[: column + 1]) for text in texts if len(text) > column}
            nodes += [(column, beginning) for beginning in sorted(alive)]
        number = {beginning: place for place, (_, beginning) in enumerate(nodes)}
        assert pack.places[: len(nodes)].tolist() == [column for column, _ in nodes]
        assert len(pack.places) % 64 == 0 and not pack.places[len(nodes) :].any()
        expected = [
            number[tuple(text[: min(column, len(text) - 1) + 1])]
            for text in texts
            for column in range(width)
        ]
        assert pack.unfold.tolist() == expected
        for node, (column, beginning) in enumerate(nodes):
            row = min(r for r in range(rows) if tuple(texts[r][: column + 1]) == beginning)
            assert pack.fold[node] == row * width + column


def test_a_number_of_workers_is_no_fewer_than_none():
    with pytest.raises(UsageError, match="--prefetch is -1"):
        RunOptions(prefetch=-1)
