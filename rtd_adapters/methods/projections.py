"""Projections: filled from a foreign checkpoint, strictly and with clear words, and converted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from rtd_adapters.clip.finite import not_finite
from rtd_adapters.clip.sources import backbone_source
from rtd_adapters.errors import BackboneError, RtdError, UsageError
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.methods.installed import installed_methods
from rtd_adapters.methods.projection_files import (
    KEY,
    about_projection,
    require_base,
    write_safetensors,
)

if TYPE_CHECKING:
    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.shapes import BackboneShape
    from rtd_adapters.methods.method import Method

SHOWN_KEYS = 3


def tensors_under(checkpoint: object, key: str, path: Path) -> dict[str, Tensor]:
    """The tensors a checkpoint holds under `key`, or the checkpoint itself if it is flat.

    A flat mapping of tensors is what `rtd projection convert` and the built-in world write.

    Raises:
        BackboneError: the file holds something else; the message lists its keys.
    """
    if not isinstance(checkpoint, Mapping):
        raise BackboneError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint dict.")
    state = checkpoint.get(key, {name: v for name, v in checkpoint.items() if name != KEY})
    if isinstance(state, Mapping) and state and all(isinstance(v, Tensor) for v in state.values()):
        return {name.removeprefix("module."): tensor for name, tensor in state.items()}
    present = ", ".join(sorted(map(str, checkpoint))[:8])
    raise BackboneError(
        f"{path} has no tensors under {key!r}; it holds: {present}. "
        "Pass the projection checkpoint that belongs to this method."
    )


def fill_projection(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Copy `tensors` into `module` key for key and return it in fp32, frozen and in eval mode.

    Raises:
        BackboneError: a key is missing or unknown, a shape differs (both are named), or a tensor
            holds NaN or infinity.
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
    if (bad := not_finite(tensors)) is not None:
        raise BackboneError(f"{path} is no use: its {bad} holds NaN or infinity. Fetch it again.")
    module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return module.float().eval().requires_grad_(False)


def open_projection(
    method: Method, path: Path, shape: BackboneShape, others: Iterable[Method] = ()
) -> nn.Module:
    """The projection in a checkpoint of the method's repository or in a converted file.

    Args:
        others: installed methods, one of which the file may belong to if not to `method`.

    Raises:
        FileError: the file is missing, damaged or needs more than tensors.
        BackboneError: it is another method's, which is named, or does not fit the backbone; or the
            method reads states that the backbone has not.
    """
    if method.needs_states and not shape.image_width:
        raise BackboneError(
            f"{method.name} reads an image tower's states, and this backbone has none that rtd "
            "knows. Use a backbone with a ViT or ResNet of CLIP's own kind, complete."
        )
    owner = converted_for(path)
    if owner and owner != method.name:
        raise BackboneError(
            f"{path} is a projection of {owner}, not of {method.name}. Check --method."
        )
    try:
        return method.load_projection(path, shape)
    except BackboneError as error:
        fitting = [
            other.name for other in others if other is not method and _reads(other, path, shape)
        ]
        if not fitting:
            raise
        raise BackboneError(
            f"{path} is a checkpoint of {' or '.join(fitting)}, not of {method.name}. "
            f"Check --method and --projection. ({error})"
        ) from error


def load_projection(
    method: Method, backbone: Backbone, path: Path | None
) -> tuple[nn.Module, dict[str, Any]]:
    """A method's projection, and where it came from.

    Args:
        path: its file; the one that the backbone brings where it is None.

    Returns:
        The projection, and for the metadata its file's name and sha256, and those of the files that
        the method's options name.

    Raises:
        UsageError: the backbone brings none.
        FileError, BackboneError: as `open_projection`; or the file knows its tower and it is
            another.
    """
    if not method.needs_projection:
        return method.build_projection(backbone.shape), {}
    source = backbone_source(backbone.name)
    if path is None:
        path = source.projection(method.name) if source else None
    if path is None:
        raise UsageError(f"backbone {backbone.name} needs --projection.")
    others = installed_methods().values()
    projection = open_projection(method, path, backbone.shape, others)
    require_base(path, backbone)
    return projection, _origin(method, path)


def _origin(method: Method, path: Path) -> dict[str, Any]:
    beside = {name: file_sha256(file) for name, file in method.chosen_files().items()}
    own = {"source": path.name, "sha256": file_sha256(path)}
    return own | ({"files": beside} if beside else {})


def convert_projection(
    method: Method, path: Path, shape: BackboneShape, backbone: str, out: Path
) -> dict[str, object]:
    """Write a repository's checkpoint anew as safetensors, in fp32, and return its metadata.

    Raises:
        FileError, BackboneError: as `open_projection`; nothing is written then.
    """
    projection = open_projection(method, path, shape)
    metadata: dict[str, object] = (
        (about_projection(path) or {})
        | {
            "method": method.name,
            "backbone": backbone,
            "shape": asdict(shape),
        }
        | _origin(method, path)
    )
    write_safetensors(projection, metadata, out)
    return metadata


def converted_for(path: Path) -> str | None:
    """The method that a converted file was made for; None for every other file."""
    about = about_projection(path) if path.suffix == ".safetensors" else None
    return str(about["method"]) if about else None


def _reads(method: Method, path: Path, shape: BackboneShape) -> bool:
    try:
        method.load_projection(path, shape)
    except RtdError:
        return False
    return True


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return f"nothing {what}"
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return f"{what} {', '.join(names[:SHOWN_KEYS])}{more}"
