"""Fills a method's projection module from a foreign checkpoint, strictly and with clear words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from rtd_adapters.errors import BackboneError

SHOWN_KEYS = 3


def tensors_under(checkpoint: object, key: str, path: Path) -> dict[str, Tensor]:
    """The tensors a checkpoint holds under `key`, or the checkpoint itself if it is flat.

    A flat mapping of tensors is what `rtd projection convert` and the built-in world write.

    Raises:
        BackboneError: the file holds something else; the message lists its keys.
    """
    if not isinstance(checkpoint, Mapping):
        raise BackboneError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint dict.")
    found = checkpoint.get(key, checkpoint)
    if isinstance(found, Mapping) and found and all(isinstance(v, Tensor) for v in found.values()):
        return {name.removeprefix("module."): tensor for name, tensor in found.items()}
    present = ", ".join(sorted(map(str, checkpoint))[:8])
    raise BackboneError(
        f"{path} has no tensors under {key!r}; it holds: {present}. "
        "Pass the projection checkpoint that belongs to this method."
    )


def fill_projection(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Copy `tensors` into `module` key for key and return it in fp32, frozen and in eval mode.

    Raises:
        BackboneError: a key is missing or unknown, or a shape differs; both shapes are named.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    if missing or unknown:
        raise BackboneError(
            f"{path} is not a {type(module).__name__} checkpoint: {_listed('missing', missing)}; "
            f"{_listed('unknown', unknown)}. Check --method and --projection."
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise BackboneError(
                f"{path} does not fit the backbone: {name} is {list(tensor.shape)} in the file "
                f"and {list(expected[name].shape)} for this backbone. "
                "Pass the projection trained for it, or the backbone it was trained for."
            )
    module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return module.float().eval().requires_grad_(False)


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return f"nothing {what}"
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return f"{what} {', '.join(names[:SHOWN_KEYS])}{more}"
