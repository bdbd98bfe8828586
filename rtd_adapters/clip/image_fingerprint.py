"""Tells whether two CLIP models see pictures alike: all that is not their text tower."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch
from torch import nn

from rtd_adapters.clip.text import find_tower

_known: WeakKeyDictionary[nn.Module, tuple[object, str]] = WeakKeyDictionary()
"""Model -> the state of its tensors when they were hashed, and the hash."""


def image_fingerprint(model: nn.Module) -> str:
    """sha256, in hexadecimal, of a CLIP model's weights beside its text tower's, and of its build.

    The build is every module's class and plain attributes: two models of the same weights may
    differ in their activations or heads. Hashed once, and again when tensors have changed.

    Raises:
        BackboneError: the model has no text tower that rtd knows.
    """
    state = _state(model)
    known = _known.get(model)
    if known is None or known[0] != state:
        known = _known[model] = state, _digest(model)
    return known[1]


def _state(model: nn.Module) -> list[tuple[int, int]]:
    """Where each tensor lies, and how often it was written to."""
    return [(tensor.data_ptr(), tensor._version) for tensor in model.state_dict().values()]


def _digest(model: nn.Module) -> str:
    own = find_tower(model).named_tensors()
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name not in own:
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().data)
    for line in _build(model):
        digest.update(line.encode())
    return digest.hexdigest()


def _build(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        plain = {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, bool | int | float | str | tuple)
        }
        yield f"{name} {type(module).__qualname__} {plain}\n"
