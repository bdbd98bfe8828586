"""Small parts of a run: who shares a batch, what reaches a tensor, what is written down."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import FileError, TrainingError, UsageError
from rtd_adapters.training import TrainingSettings
from rtd_adapters.training.acceleration import _require_even_shares
from rtd_adapters.training.metrics_file import MetricsFile
from rtd_adapters.training.packing import share_beginnings
from rtd_adapters.training.reach import Reach
from rtd_adapters.training.trainer import _require_one_if_plain


@pytest.mark.parametrize(("length", "count"), [(8, 2), (7, 2), (9, 4), (3, 4), (0, 2), (5, 1)])
def test_shares_follow_one_another_and_leave_nothing_out(length, count):
    shares = [range(length)[Processes(rank, count).share(length)] for rank in range(count)]
    assert [place for share in shares for place in share] == list(range(length))
    assert max(map(len, shares)) == -(-length // count)


def test_one_process_is_the_main_one():
    assert [Processes(rank, 2).is_main for rank in range(2)] == [True, False]
    assert (Processes().rank, Processes().count, Processes().is_main) == (0, 1, True)
    vectors = torch.randn(3, 2, requires_grad=True)
    assert torch.equal(Processes().gather(vectors, 3), vectors)
    assert not Processes().gather(vectors, 3).requires_grad


def test_several_processes_need_even_shares_of_the_fast_engine():
    _require_one_if_plain(TrainingSettings(engine="reference", batch_size=7), Processes())
    _require_even_shares(TrainingSettings(engine="reference", batch_size=7), 1)
    _require_even_shares(TrainingSettings(batch_size=6), 3)
    with pytest.raises(UsageError, match="reference engine runs in one process"):
        _require_one_if_plain(TrainingSettings(engine="reference", batch_size=6), Processes(0, 2))
    with pytest.raises(UsageError, match="7 cannot be shared evenly among 2 processes"):
        _require_even_shares(TrainingSettings(batch_size=7), 2)


class Tower(torch.nn.Module):
    def __init__(self, *names):
        super().__init__()
        self.parts = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in names})

    def reach(self, *names):
        for name, parameter in self.named_parameters():
            parameter.grad = torch.ones(parameter.shape) * any(n in name for n in names)


def test_every_tensor_has_two_steps_to_be_reached():
    tower = Tower("one", "six", "ten", "two")
    reach = Reach(tower)
    tower.reach("one")
    reach.check()
    tower.reach("two")
    first = r"parts\.six\.bias, parts\.six\.weight, parts\.ten\.bias, \.\.\."
    with pytest.raises(TrainingError, match=rf"4 trained tensors .* in 2 steps \({first}\)"):
        reach.check()


def test_a_tensor_once_reached_stays_so():
    tower = Tower("one", "k_proj")
    reach = Reach(tower)
    tower.reach("one")
    reach.check()
    tower.reach("k_proj.weight")
    reach.check()
    tower.reach()
    reach.check()


def test_a_key_bias_may_have_no_gradient_but_a_zero_one():
    tower = Tower("k_proj")
    tower.reach("weight")
    tower.parts["k_proj"].bias.grad = None
    reach = Reach(tower)
    reach.check()
    with pytest.raises(TrainingError, match=r"1 trained tensors .*k_proj\.bias"):
        reach.check()


def test_metrics_of_steps_that_run_again_are_forgotten(tmp_path):
    file = MetricsFile(tmp_path / "deep" / "run")
    file.forget_after(3)
    assert not file.path.exists()
    for step in range(1, 6):
        file.append(step, {"loss": 1.0 / step})
    file.forget_after(3)
    lines = file.path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": step, "loss": 1.0 / step} for step in (1, 2, 3)
    ]
    file.append(4, {})
    assert len(file.path.read_text(encoding="utf-8").splitlines()) == 4
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"metrics\.jsonl cannot be written: .*--resume"):
        MetricsFile(tmp_path / "file").append(1, {})


@pytest.mark.parametrize(("texts", "nodes"), [(1, 64), (64, 64), (65, 128)])
def test_packs_are_filled_up_to_a_multiple_of_64(texts, nodes):
    pack = share_beginnings(torch.arange(texts)[:, None], torch.zeros(texts, dtype=torch.long))
    assert len(pack.places) == len(pack.fold) == nodes
    assert pack.unfold.tolist() == list(range(texts))
    assert pack.width == 1


def test_a_pack_is_the_tree_of_its_texts():
    """a b c / a b d / x: six nodes, in order of their place; behind its end a text repeats it."""
    keys = torch.tensor([[1, 2, 3], [1, 2, 4], [9, 0, 0]])
    pack = share_beginnings(keys, torch.tensor([2, 2, 0]))
    assert pack.places[:5].tolist() == [0, 0, 1, 2, 2]
    assert pack.unfold.view(3, 3).tolist() == [[0, 2, 3], [0, 2, 4], [1, 1, 1]]
    assert pack.fold[:5].tolist() == [0, 6, 1, 2, 5]
    assert pack.fold[5:].sum() == pack.places[5:].sum() == 0
