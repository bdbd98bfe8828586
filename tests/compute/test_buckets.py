"""Gradients go into one bucket, and come out of it as sums."""

from __future__ import annotations

import torch

from rtd_adapters.compute.buckets import sum_gradients

ROWS = ([3, 7, 3], [1, 7])
"""Rows of the table that each of two processes reads."""


def parameters(sparse, rank):
    """A table, a matrix, a vector without gradient and one in another precision, after a backward
    pass of one process."""
    generator = torch.Generator().manual_seed(0)
    table = torch.nn.Parameter(torch.randn(9, 4, generator=generator))
    matrix = torch.nn.Parameter(torch.randn(4, 5, generator=generator))
    idle = torch.nn.Parameter(torch.randn(3, generator=generator))
    fine = torch.nn.Parameter(torch.randn(5, generator=generator).double())
    rows = torch.nn.functional.embedding(torch.tensor(ROWS[rank]), table, sparse=sparse)
    ((rows @ matrix).double() @ fine).square().sum().backward()
    return [table, matrix, idle, fine]


class Other:
    """The other of two processes, whose part of each collective was noted before."""

    def __init__(self):
        self.noted, self.calls = [], []

    def note(self, tensor):
        self.noted.append(tensor.clone())
        return tensor

    def total(self, tensor):
        self.calls.append("total")
        return tensor.add_(self.noted.pop(0))

    def union(self, tensor):
        self.calls.append("union")
        return torch.maximum(tensor, self.noted.pop(0), out=tensor)


def summed(sparse):
    """What the first of two processes has in the end, and the collectives it took."""
    other = Other()
    union = torch.zeros(9, dtype=torch.uint8)
    union[sorted({*ROWS[0], *ROWS[1]})] = 1
    sum_gradients(parameters(sparse, 1), other.note, lambda own: other.note(own).copy_(union))
    own = parameters(sparse, 0)
    sum_gradients(own, other.total, other.union)
    return own, other.calls


def test_sums_of_rows_are_the_sums_of_whole_tables():
    (rows, calls), (whole, plain) = summed(True), summed(False)
    assert rows[0].grad.is_sparse
    assert rows[0].grad.coalesce().indices()[0].tolist() == [1, 3, 7]
    assert calls == ["union", "total", "total"]  # one for each precision
    assert plain == ["total", "total"]
    expected = [0, 0, 0, 0]
    for rank in (0, 1):
        grads = [p.grad for p in parameters(False, rank)]
        expected = [a if b is None else a + b for a, b in zip(expected, grads, strict=True)]
    for one, other, value in zip(rows, whole, expected, strict=True):
        assert torch.equal(one.grad.to_dense(), other.grad)
        assert torch.equal(other.grad, value + torch.zeros_like(other))


def test_gradients_are_views_of_one_bucket_without_room_to_spare():
    own, _ = summed(False)
    first, *rest = (p.grad for p in own[:3])
    assert all(g.untyped_storage().data_ptr() == first.untyped_storage().data_ptr() for g in rest)
    assert first.untyped_storage().nbytes() == 4 * sum(p.numel() for p in own[:3])
