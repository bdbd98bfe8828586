"""When checkpoints are due: by steps, by time, and seldom where writing takes long."""

from __future__ import annotations

import pytest

from rtd_adapters.jobs.recipe import CHECKPOINT_MINUTES, checkpoint_options
from rtd_adapters.training import RunOptions, intervals
from rtd_adapters.training.intervals import CheckpointIntervals


@pytest.fixture
def due(monkeypatch):
    """Steps at which checkpoints are written, in a run whose steps and checkpoints take so long."""
    clock = [0.0]
    monkeypatch.setattr(intervals.time, "monotonic", lambda: clock[0])

    def due(steps, seconds, writing=0.0, **options):
        clock[0] = 1e6
        told, found = CheckpointIntervals(RunOptions(**options)), []
        for step in range(1, steps + 1):
            clock[0] += seconds
            if told.is_due(step):
                told.begin()
                clock[0] += writing
                told.end()
                found.append(step)
        return found

    return due


def test_by_steps_by_time_and_by_both(due):
    assert due(9, 60) == []
    assert due(9, 60, checkpoint_every=4) == [4, 8]
    assert due(9, 60, checkpoint_minutes=2.5) == [3, 6, 9]
    assert due(9, 60, checkpoint_every=4, checkpoint_minutes=2.5) == [3, 4, 7, 8]


def test_short_runs_write_none(due):
    assert due(2000, 0.1, checkpoint_minutes=CHECKPOINT_MINUTES) == []


def test_writing_takes_a_twentieth_at_most(due):
    """Half a minute to write: one in ten minutes, though one in five was asked for."""
    found = due(100, 60, writing=30, checkpoint_minutes=5)
    assert found[:3] == [5, 15, 25]
    assert due(100, 60, writing=30, checkpoint_every=1)[:3] == [1, 2, 3]  # what was asked for wins


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, (0, 5.0)),
        ({"checkpoint_every": 0}, (0, 0.0)),
        ({"checkpoint_every": 7}, (7, 0.0)),
        ({"checkpoint_minutes": 1.0}, (0, 1.0)),
        ({"checkpoint_every": 7, "checkpoint_minutes": 1.0}, (7, 1.0)),
    ],
)
def test_by_time_unless_something_was_chosen(chosen, expected):
    options = RunOptions(**checkpoint_options(chosen))
    assert (options.checkpoint_every, options.checkpoint_minutes) == expected
