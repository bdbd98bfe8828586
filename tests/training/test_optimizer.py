"""Rows of a token table are updated as torch's own AdamW updates the whole table."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters.training.optimizer import RowAdamW


def train(optimizer_class, sparse, batches, rates, dtype=torch.float64, state=None):
    """A table and a matrix after one step for each batch of token ids."""
    generator = torch.Generator().manual_seed(0)
    table = torch.nn.Embedding(50, 6, sparse=sparse, dtype=dtype)
    matrix = torch.nn.Parameter(torch.randn(6, 3, generator=generator, dtype=dtype))
    with torch.no_grad():
        table.weight.copy_(torch.randn(50, 6, generator=generator, dtype=dtype))
    optimizer = optimizer_class([table.weight, matrix], lr=1.0, weight_decay=0.3)
    for ids, rate in zip(batches, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        (table(ids) @ matrix).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return table.weight.detach(), matrix.detach(), optimizer


BATCHES = [torch.tensor(ids) for ids in ([3, 7, 3], [7, 20], [1, 49, 0], [20, 20], [5])]
RATES = [0.1, 0.3, 0.05, 0.2, 0.1]


def test_rows_equal_the_dense_update_step_by_step():
    for steps in range(1, len(BATCHES) + 1):
        rows = train(RowAdamW, True, BATCHES[:steps], RATES[:steps])
        dense = train(torch.optim.AdamW, False, BATCHES[:steps], RATES[:steps])
        for mine, theirs in zip(rows[:2], dense[:2], strict=True):
            assert torch.allclose(mine, theirs, rtol=1e-12, atol=1e-14)


def test_dense_gradients_are_torchs_own():
    rows = train(RowAdamW, False, BATCHES, RATES)
    dense = train(torch.optim.AdamW, False, BATCHES, RATES)
    assert torch.equal(rows[0], dense[0])


def test_moments_are_kept_for_seen_rows_only():
    *_, optimizer = train(RowAdamW, True, BATCHES, RATES)
    state = next(s for s in optimizer.state.values() if "rows" in s)
    assert state["rows"].tolist() == [0, 1, 3, 5, 7, 20, 49]
    assert state["exp_avg"].shape == (7, 6)


@pytest.mark.parametrize("first", [True, False])
def test_moments_by_rows_and_whole_ones_are_taken_over_from_each_other(first):
    """As when a run goes on where its table is kept otherwise."""
    table = torch.nn.Parameter(torch.randn(50, 6, dtype=torch.float64))
    plain = torch.nn.Parameter(table.detach().clone())
    mine = RowAdamW([table], lr=0.1, weight_decay=0.3)
    theirs = torch.optim.AdamW([plain], lr=0.1, weight_decay=0.3)
    for number, ids in enumerate(BATCHES):
        sparse = first == (number < 2)
        for parameter, optimizer, by_rows in ((table, mine, sparse), (plain, theirs, False)):
            rows = torch.nn.functional.embedding(ids, parameter, sparse=by_rows)
            rows.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        assert torch.allclose(table, plain, rtol=1e-12, atol=1e-14), number
    assert ("rows" in mine.state[table]) != first


@pytest.mark.parametrize("fused", [True, False])
def test_a_resumed_step_counter_is_where_its_optimizer_looks_for_it(fused):
    """Beside the parameter where the optimizer is fused, and on the CPU otherwise."""
    from rtd_adapters.training.checkpoint import _fill_moments

    weight = torch.nn.Parameter(torch.empty(2, 2, device="meta"))
    optimizer = torch.optim.AdamW([weight])
    optimizer.param_groups[0]["fused"] = fused
    moments = {"weight/step": torch.tensor(3.0), "weight/exp_avg": torch.zeros(2, 2)}
    _fill_moments(optimizer, moments, {"weight": weight})
    state = optimizer.state[weight]
    assert (state["step"].device.type, state["exp_avg"].device.type) == (
        "meta" if fused else "cpu",
        "meta",
    )


@pytest.mark.parametrize(("device", "sparse"), [("cpu", True), ("meta", False)])
def test_a_table_is_kept_by_rows_on_a_cpu_alone(toy_backbone, device, sparse):
    from rtd_adapters.training import TrainingSettings
    from rtd_adapters.training.optimizer import make_optimizer

    tower = toy_backbone.tower.requires_grad_(True).to(device)
    make_optimizer(tower, TrainingSettings())
    assert tower.token_embedding.sparse is sparse


@pytest.mark.parametrize(
    ("changes", "sparse"),
    [({}, True), ({"engine": "reference"}, False), ({"max_grad_norm": 1.0}, False)],
)
def test_which_runs_keep_rows(toy_backbone, changes, sparse):
    from rtd_adapters.training import TrainingSettings
    from rtd_adapters.training.optimizer import make_optimizer

    toy_backbone.tower.requires_grad_(True)
    make_optimizer(toy_backbone.tower, TrainingSettings(**changes))
    assert toy_backbone.tower.token_embedding.sparse is sparse
