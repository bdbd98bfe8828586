"""Writes over live CLIP models, and gives them their own tensors back bit for bit."""

from __future__ import annotations

import weakref
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text import find_tower


class Originals:
    """The own tensors of live models that were written over, as long as the models live."""

    def __init__(self) -> None:
        self._kept: weakref.WeakKeyDictionary[nn.Module, dict[str, Tensor]] = (
            weakref.WeakKeyDictionary()
        )

    def __contains__(self, model: nn.Module) -> bool:
        return model in self._kept

    def write_over(self, model: nn.Module, values: Mapping[str, Tensor]) -> None:
        """Keep a model's text tower and write over it, in its own dtype and on its own device.

        Args:
            model: any that `find_tower` knows.
            values: of all its tower's tensors, under its own layout's names.
        """
        tensors = find_tower(model).named_tensors()
        self._kept[model] = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        _copy_into(tensors, values)

    def give_back(self, model: nn.Module) -> None:
        """Undo `write_over`."""
        _copy_into(find_tower(model).named_tensors(), self._kept.pop(model))


@torch.no_grad()
def _copy_into(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        tensor.copy_(values[name])
