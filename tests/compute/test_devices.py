"""Which device a run gets, and which it is refused."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters.compute.acceleration import _require_joined, accelerator_on
from rtd_adapters.compute.devices import require_device
from rtd_adapters.errors import TrainingError, UsageError


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_by_name(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"--device {name}: torch .* finds no such device"):
        require_device(name)
    with pytest.raises(UsageError, match=f"--device {name}"), accelerator_on(name):
        pass
    require_device("cpu")
    require_device(None)


def test_a_device_that_is_there_is_not_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_device("cuda")
    with pytest.raises(UsageError, match="Unknown device 'gpu'"):
        require_device("gpu")


def test_accelerate_forgets_the_device_of_an_earlier_run():
    from accelerate.state import AcceleratorState

    with accelerator_on("cpu", mixed_precision="bf16") as accelerator:
        assert accelerator.device.type == "cpu"
        assert AcceleratorState().mixed_precision == "bf16"
    with accelerator_on("cpu") as accelerator:
        assert accelerator.mixed_precision == "no"


def test_processes_that_did_not_come_together(monkeypatch):
    _require_joined(1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    _require_joined(2)
    with pytest.raises(TrainingError, match="2 processes were started, but accelerate joined 1"):
        _require_joined(1)
