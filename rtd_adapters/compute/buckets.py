"""Gradients laid end to end, so that many tensors are summed over processes in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]
"""Reduces a tensor over all processes, in place, and returns it."""


def sum_gradients(parameters: Iterable[Tensor], total: Reduce, union: Reduce) -> None:
    """Add up the gradients of some parameters over all processes.

    Two collectives at most, however many tensors there are: one finds which rows of sparse
    gradients any process has, where there are such gradients; one adds up everything, these rows
    included. (One for each precision among the gradients; a tower has one.) A missing gradient is
    zero.

    Afterwards the gradients are views of one flat bucket, which goes with the last of them. It is
    made when the backward pass is over and its activations are gone: memory for the gradients once
    more, where there was room for more, and each of them is released once it is in.

    Args:
        parameters: the same in every process, in the same order.
        total: sums over processes.
        union: takes the largest over processes.
    """
    parameters = list(parameters)
    parts = _parts(parameters, union)
    for dtype in dict.fromkeys(part.values.dtype for part in parts):
        _sum_together([part for part in parts if part.values.dtype == dtype], total)


@dataclass
class _Part:
    """One parameter's gradient, as it goes into the bucket."""

    parameter: Tensor
    values: Tensor
    """The whole gradient, or the rows that this process has of it."""
    places: Tensor | None = None
    """Where these rows stand among all processes'; None for a dense gradient."""
    rows: Tensor | None = None
    """Rows that any process has; None likewise."""

    @property
    def shape(self) -> Sequence[int]:
        """Of what is summed."""
        if self.rows is None:
            return self.values.shape
        return (len(self.rows), *self.values.shape[1:])

    def fill(self, flat: Tensor) -> None:
        """Lay the gradient into its place in the bucket, and let go of it."""
        view = flat.view(self.shape)
        if self.rows is None:
            view.copy_(self.values)
            self.parameter.grad = view
        else:
            view.zero_()[self.places] = self.values
            self.parameter.grad = torch.sparse_coo_tensor(
                self.rows[None],
                view,
                self.parameter.shape,
                is_coalesced=True,
                check_invariants=False,
            )
        self.values = view


def _parts(parameters: Sequence[Tensor], union: Reduce) -> list[_Part]:
    sparse = [p for p in parameters if p.grad is not None and p.grad.is_sparse]
    rows = iter(_rows_of_all(sparse, union))
    parts = []
    for parameter in parameters:
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if not grad.is_sparse:
            parts.append(_Part(parameter, grad))
            continue
        grad, all_rows = grad.coalesce(), next(rows)
        places = torch.searchsorted(all_rows, grad.indices()[0])
        parts.append(_Part(parameter, grad.values(), places, all_rows))
    return parts


def _rows_of_all(sparse: Sequence[Tensor], union: Reduce) -> list[Tensor]:
    """Of each table, the rows that any process has a gradient for, in ascending order."""
    if not sparse:
        return []
    lengths = [len(table) for table in sparse]
    touched = torch.zeros(sum(lengths), dtype=torch.uint8, device=sparse[0].device)
    for table, own in zip(sparse, touched.split(lengths), strict=True):
        assert table.grad is not None
        own[table.grad._indices()[0]] = 1
    return [own.nonzero().flatten() for own in union(touched).split(lengths)]


def _sum_together(parts: Sequence[_Part], total: Reduce) -> None:
    sizes = [torch.Size(part.shape).numel() for part in parts]
    flat = parts[0].values.new_empty(sum(sizes))
    for part, own in zip(parts, flat.split(sizes), strict=True):
        part.fill(own)
    total(flat)
