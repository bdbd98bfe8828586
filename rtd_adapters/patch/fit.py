"""Whether a patch fits a text tower."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from rtd_adapters.clip.text import TowerConfig, config_from_state, fingerprint, same_tower
from rtd_adapters.errors import PatchError
from rtd_adapters.patch.metadata import PatchMetadata


def require_same_base(metadata: PatchMetadata, base: Mapping[str, Tensor]) -> None:
    """Check that a tower is the one that the patch was trained for.

    Args:
        metadata: of the patch.
        base: the tower's state, under `TextTower`'s names.

    Raises:
        PatchError: it is another, or it is the patched one; both fingerprints are named.
    """
    if same_tower(metadata.base_fingerprint, base):
        return
    if same_tower(metadata.fingerprint, base):
        raise PatchError("this model already carries this patch's tensors; nothing was changed.")
    raise PatchError(
        f"this patch was trained for {metadata.backbone} "
        f"(fingerprint {metadata.base_fingerprint['fp32'][:12]}), but the model's text "
        f"tower has fingerprint {fingerprint(base)['fp32'][:12]}. Load the weights it was trained "
        "for, or pass --force (force=True) if you know that they are the same."
    )


def require_same_computation(metadata: PatchMetadata, config: TowerConfig) -> None:
    """Check that a tower computes with its tensors what the patch's tower computed in training.

    Args:
        metadata: of the patch.
        config: the tower's.

    Raises:
        PatchError: its activation, heads, mask, pooling or another part is another; both are named.
    """
    described = TowerConfig.from_dict(metadata.tower).computation
    for name, there in config.computation.items():
        trained = described[name]
        if trained != there:
            raise PatchError(
                f"this patch was trained for a text tower with {name} {trained}, but the model's "
                f"has {there}: the same weights would compute something else. Build the model as "
                f"{metadata.backbone} is built, train a patch for this one, or pass --force "
                "(force=True)."
            )


def described_tower(metadata: PatchMetadata, state: Mapping[str, Tensor]) -> TowerConfig:
    """The configuration that a patch's metadata give, where its tensors have those sizes.

    Args:
        metadata: of the patch.
        state: its tower's, under `TextTower`'s names.

    Raises:
        BackboneError: the metadata describe no tower.
        PatchError: they describe another one.
    """
    described = TowerConfig.from_dict(metadata.tower)
    made = config_from_state(state, described)
    if made != described:
        there, here = described.to_dict(), made.to_dict()
        name = next(name for name, value in here.items() if value != there[name])
        raise PatchError(
            "the patch's metadata describe another text tower than its tensors make: "
            f"{name} is {there[name]} there, {here[name]} here. Train or fetch the patch again."
        )
    return made


def require_same_shapes(patched: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> None:
    """Check that a tower has the patch's tensors, in their shapes, and no others.

    Raises:
        PatchError: it has not; the first difference is named.
    """
    for name in [*patched, *(name for name in base if name not in patched)]:
        here, there = _shape(patched.get(name)), _shape(base.get(name))
        if here != there:
            raise PatchError(
                f"the patch does not fit this model: {name} is {here} in the patch and {there} in "
                "the model."
            )


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(list(tensor.shape))
