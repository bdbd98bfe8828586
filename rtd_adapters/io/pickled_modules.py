"""Reads the tensors of modules that were pickled whole, without any of their code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtd_adapters.errors import BackboneError
from rtd_adapters.io.checkpoints import load_tensors

if TYPE_CHECKING:
    from torch import Tensor

TORCH_PARTS = (
    "torch.nn.modules.activation.GELU",
    "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.activation.Sigmoid",
    "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.container.Sequential",
    "torch.nn.modules.dropout.Dropout",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.loss.CosineEmbeddingLoss",
    "torch.nn.modules.loss.MSELoss",
    "torch.nn.modules.normalization.LayerNorm",
    "torch.nn.functional.relu",
)
"""What modules are commonly made of; stood in for as well, so that a release's changes do not
matter."""


def read_pickled_module(
    path: Path, classes: Iterable[str]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and plain attributes of a module that `torch.save` pickled whole.

    Args:
        path: the file.
        classes: full names of the classes it may hold, such as `i2t_model.IMG2TEXT`. Empty
            stand-ins take their place: nothing is imported and nothing of theirs is run.

    Raises:
        FileError: the file is missing or damaged, or holds anything else that is not plain.
        BackboneError: it holds no module.
    """
    import torch

    stand_ins: list[Any] = [_stand_in(name) for name in (*classes, *TORCH_PARTS)]
    # Every module holds a set, which is plain, and which torch 2.5 refuses unless told otherwise.
    with torch.serialization.safe_globals([set, *stand_ins]):
        module = load_tensors(path)
    if not isinstance(module, tuple(stand_ins)):
        raise BackboneError(
            f"{path} holds a {type(module).__name__}, not a pickled {next(iter(classes))}. "
            "Pass the projection checkpoint that belongs to this method."
        )
    state = vars(module)
    plain = {k: v for k, v in state.items() if isinstance(v, (int, float, str))}
    return dict(_tensors(state, "")), plain


class _StandIn:
    """Takes a pickled object's state and does nothing with it."""


def _stand_in(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    return type(attribute, (_StandIn,), {"__module__": module})


def _tensors(state: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Tensor]]:
    """A module's parameters and buffers, named as in its state dict."""
    for kind in ("_parameters", "_buffers"):
        for name, tensor in state.get(kind, {}).items():
            if tensor is not None:
                yield prefix + name, tensor.detach()
    for name, part in state.get("_modules", {}).items():
        if part is not None:
            yield from _tensors(vars(part), f"{prefix}{name}.")
