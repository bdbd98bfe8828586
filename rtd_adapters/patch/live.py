"""Writes over live CLIP models, and gives them their own tensors back bit for bit."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtd_adapters.clip.text import LiveTower, find_tower, unwrapped
from rtd_adapters.errors import PatchError, first_line
from rtd_adapters.patch.ties import require_own_memory

WRITING = threading.RLock()
"""Held while models are checked, written over and given back, so that two threads take turns."""


@dataclass(frozen=True, eq=False)
class Covered:
    """What a patch wrote over."""

    patch: str
    """In words, for messages."""
    tensors: dict[str, Tensor]
    """The model's own, under its own layout's names."""


_LAYERS: weakref.WeakKeyDictionary[nn.Module, list[weakref.ref[Covered]]] = (
    weakref.WeakKeyDictionary()
)
"""Model without its wrapper -> what each patch on it wrote over, the top one last. A patch that is
forgotten without being taken off leaves no layer: nobody can take it off any more."""


class Originals:
    """What one patch wrote over, as long as the models live; a wrapper round a model is no matter.

    Hold `WRITING` round every call.
    """

    def __init__(self) -> None:
        self._kept: weakref.WeakKeyDictionary[nn.Module, Covered] = weakref.WeakKeyDictionary()

    def __contains__(self, model: nn.Module) -> bool:
        return unwrapped(model) in self._kept

    def write_over(self, live: LiveTower, values: Mapping[str, Tensor], patch: str) -> None:
        """Keep a model's text tower and write over it, in its own dtype and on its own device.

        Args:
            live: the tower inside the model.
            values: of all its tensors, under its own layout's names.
            patch: what they are of, in words.

        Raises:
            PatchError: the model does not take them; it is then as it was, and a sentence says why.
        """
        tensors = live.named_tensors()
        require_own_memory(live, values)
        covered = Covered(patch, {name: t.detach().clone() for name, t in tensors.items()})
        try:
            _copy_into(tensors, values)
            _require_written(live, values)
        except BaseException as error:
            with suppress(RuntimeError):  # at the tensor that could not be written before either
                _copy_into(tensors, covered.tensors)
            if isinstance(error, RuntimeError):
                raise PatchError(
                    f"the model's weights cannot be written ({first_line(error)}); nothing was "
                    "changed. Give the model plain tensors of its own."
                ) from error
            raise
        self._kept[live.model] = covered
        _LAYERS.setdefault(live.model, []).append(weakref.ref(covered))

    def give_back(self, model: nn.Module) -> None:
        """Undo `write_over`.

        Raises:
            PatchError: another patch went onto the model later and is on it still; it is named.
        """
        model = unwrapped(model)
        covered = self._kept[model]
        top = _layers(model)[-1]
        if top is not covered:
            raise PatchError(
                f"another patch lies on top of this one: {top.patch}. Revert that one first."
            )
        _copy_into(find_tower(model).named_tensors(), covered.tensors)
        del self._kept[model]
        _LAYERS[model].pop()


def _layers(model: nn.Module) -> list[Covered]:
    alive = [(ref, covered) for ref in _LAYERS.get(model, []) if (covered := ref())]
    _LAYERS[model] = [ref for ref, _ in alive]
    return [covered for _, covered in alive]


@torch.no_grad()
def _copy_into(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        tensor.copy_(values[name])


def _require_written(live: LiveTower, values: Mapping[str, Tensor]) -> None:
    """Check that the weights a model computes with are the values.

    A wrapper, or a hook that keeps weights elsewhere, may hand out copies of them: its state dict
    is read anew, and beside it what the modules themselves hold.

    Raises:
        PatchError: they are not.
    """
    own = dict(live.model.named_parameters(remove_duplicate=False))
    for name, tensor in live.named_tensors().items():
        for found in (tensor, own.get(name, tensor)):
            if not torch.equal(found, values[name].to(found)):
                raise PatchError(
                    f"the patch did not reach {name}: this model hands out copies of its weights "
                    "(a wrapper or a hook keeps them elsewhere). Nothing was changed. Apply the "
                    "patch to the plain model, before it is wrapped or offloaded."
                )
