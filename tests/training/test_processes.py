"""Several processes learn what one learns; when one dies, the others end and say so."""

from __future__ import annotations

import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from several_processes import SETTINGS, finish, start, write_inputs

from rtd_adapters.compute.processes import Processes, launched
from rtd_adapters.errors import UsageError


@pytest.fixture
def inputs(tmp_path, toy_backbone, toy_projection, toy_triplets):
    return write_inputs(tmp_path, toy_backbone, toy_projection, toy_triplets)


@pytest.fixture
def alone(searle, toy_projection, toy_backbone, toy_triplets):
    """What one process with the whole batch learns: the patched tower, and its losses."""
    from rtd_adapters.patch import TextEncoderPatch
    from rtd_adapters.training import RunOptions, Trainer, TrainingSettings

    settings = TrainingSettings(**{k: v for k, v in SETTINGS.items() if k != "resume"})
    patch = TextEncoderPatch.create("full", toy_backbone, searle)
    options = RunOptions(quiet=True, device="cpu")
    trainer = Trainer(searle, toy_projection, toy_backbone, toy_triplets, settings, options)
    losses = torch.tensor(patch.fit(trainer).losses)
    return {**patch.state(), "losses": losses}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_equal_one(inputs, alone, count):
    codes, errors = finish(start(inputs, count, {}))
    assert codes == [0] * count, errors
    first, *others = (load_file(inputs / f"{count}-{rank}.safetensors") for rank in range(count))
    assert torch.allclose(first["losses"], alone["losses"], rtol=1e-5)
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)
    assert first["collectives"].tolist() == [3, 3, 3]  # embeddings, rows of the table, gradients
    base = load_file(inputs / "tower.safetensors")
    for name in base:
        # Adam makes a whole step of a gradient that is nothing but rounding.
        if not name.endswith("k_proj.bias"):
            moved = (alone[name] - base[name]).norm()
            assert (alone[name] - first[name]).norm() <= 1e-3 * moved, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"kind": "lora"}, 2),  # no table is trained, so no rows of one
        ({"local_negatives": True}, 3),  # the loss in the place of embeddings
    ],
)
def test_collectives_of_a_step(inputs, settings, expected):
    codes, errors = finish(start(inputs, 2, settings))
    assert codes == [0, 0], errors
    counted = load_file(inputs / "2-0.safetensors")["collectives"]
    assert counted.tolist() == [expected] * 3


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_one_alone_resumes(inputs, alone):
    first, second = start(inputs, 2, {}, "3")
    second.wait(timeout=120)
    codes, errors = finish([first, second], seconds=30)
    assert codes == [1, -9]
    assert "another process of this run has ended" in errors[0]
    assert "Traceback" not in errors[0]
    codes, errors = finish(start(inputs, 1, {"resume": True}))
    assert codes == [0], errors
    resumed = load_file(inputs / "1-0.safetensors")
    assert torch.allclose(resumed["losses"], alone["losses"][-2:], rtol=1e-5)


def test_local_negatives_average_the_losses_of_the_shares(
    searle, toy_projection, toy_backbone, toy_triplets
):
    """Each process's gradient is that of its own rows' loss, divided by their number."""
    import copy

    from rtd_adapters.clip.text import Tokenizer
    from rtd_adapters.training import FastEngine, ReferenceEngine, Towers, TrainingSettings
    from rtd_adapters.training.batches import TripletStream
    from rtd_adapters.training.step import StepContext

    student = copy.deepcopy(toy_backbone.tower).requires_grad_(True)
    towers = Towers(searle, toy_projection, toy_backbone.tower, student, Tokenizer(32, "$"))
    batch = TripletStream(toy_triplets, towers.tokenizer, batch_size=8, seed=0).batch(0)

    class Second(Processes):
        """Rank 1 of 2, whose anchors need no other process."""

        def gather(self, mine, length):
            return mine if len(mine) == length else torch.cat([torch.zeros_like(mine), mine])

        def share(self, length):
            return slice(4, 8) if length == 8 else slice(0, length)

    settings = TrainingSettings(local_negatives=True)
    FastEngine(towers, settings, StepContext(processes=Second(1, 2))).step(
        batch, lambda loss: loss.backward()
    )
    found = student.text_projection.grad.clone()
    student.zero_grad()
    loss = ReferenceEngine(towers, TrainingSettings()).loss(batch.part(slice(4, 8)))
    (loss / 2).backward()
    assert torch.allclose(found, student.text_projection.grad, rtol=1e-4, atol=1e-7)


def test_shares_cover_everything_once():
    for length in (0, 1, 7, 8):
        rows = [row for rank in range(3) for row in range(length)[Processes(rank, 3).share(length)]]
        assert rows == list(range(length))


@pytest.mark.parametrize(("rank", "count", "sound"), [(0, 1, 1), (2, 3, 1), (-1, 3, 0), (3, 3, 0)])
def test_ranks_run_from_0_to_one_below_their_number(rank, count, sound, monkeypatch):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(count))
    if sound:
        assert launched() == Processes(rank, count)
    else:
        with pytest.raises(UsageError, match=f"RANK is {rank} and WORLD_SIZE {count}"):
            launched()


@pytest.mark.slow
def test_ctrl_c_reaches_a_process_whose_peer_has_fallen_silent(inputs):
    """A peer that is stopped closes no connection, as a machine that is cut off does not."""
    first, second = start(inputs, 2, {"steps": 100_000})
    while not list((inputs / "run").glob("step-*")):
        assert first.poll() is None
        time.sleep(0.05)
    second.send_signal(signal.SIGSTOP)
    time.sleep(2)
    try:
        first.send_signal(signal.SIGINT)
        codes, _ = finish([first], seconds=30)
        assert codes == [130]
    finally:
        first.kill(), second.kill()


@pytest.mark.slow
def test_ctrl_c_reaches_a_process_whose_peer_never_comes(inputs):
    first, second = start(inputs, 2, {})
    second.kill()
    time.sleep(15)
    try:
        first.send_signal(signal.SIGINT)
        codes, _ = finish([first], seconds=30)
        assert codes[0] != 0
    finally:
        first.kill()
