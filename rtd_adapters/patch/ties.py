"""Whether each tensor of a live text tower has memory of its own to be written to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text import LiveTower
from rtd_adapters.errors import PatchError


def require_own_memory(live: LiveTower, values: Mapping[str, Tensor]) -> None:
    """Check that a text tower's tensors can be written over without changing anything else.

    Args:
        live: the tower inside its model.
        values: what is to be written, under its own layout's names.

    Raises:
        PatchError: a tensor shares memory with one outside the tower, or with one of the tower that
            is to get other values; both are named.
    """
    tower = live.named_tensors()
    for pair in _overlapping(tower | _others(live.model, tower)):
        one, other = sorted(pair, key=lambda name: name not in tower)
        if one not in tower:
            continue
        inside = other in tower
        if inside and _one_tensor(tower[one], tower[other], values[one], values[other]):
            continue
        raise PatchError(
            f"{one} and {other} share memory, so that a patch of the text tower would change "
            f"{'both' if inside else 'what is no part of it'}. Give the model a copy of one of "
            "them (a Parameter of its clone) and apply again."
        )


def _others(model: nn.Module, tower: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor of a model that is none of its text tower's."""
    named = chain(
        model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    )
    return {name: tensor for name, tensor in named if name not in tower}


def _overlapping(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Pairs of names whose tensors reach into the same memory."""
    furthest: dict[int, tuple[int, str]] = {}
    for storage, start, end, name in sorted(_reach(name, t) for name, t in tensors.items()):
        last, other = furthest.get(storage, (start, name))
        if start < last:
            yield other, name
        if end >= last:
            furthest[storage] = (end, name)


def _reach(name: str, tensor: Tensor) -> tuple[int, int, int, str]:
    """Its storage, and the first and last byte in it."""
    start, size = int(tensor.storage_offset()), tensor.element_size()
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = start + int(sum((length - 1) * stride for length, stride in steps))
    end = last + 1 if tensor.numel() else start
    return tensor.untyped_storage().data_ptr(), start * size, end * size, name


def _one_tensor(tensor: Tensor, other: Tensor, value: Tensor, wanted: Tensor) -> bool:
    """Whether two names are of one and the same tensor, and it is to get one and the same value."""
    same = tensor.data_ptr() == other.data_ptr() and tensor.shape == other.shape
    return same and tensor.stride() == other.stride() and torch.equal(value, wanted)
