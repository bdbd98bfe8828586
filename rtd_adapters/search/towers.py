"""The text towers between a backbone's own and a patched one."""

from __future__ import annotations

import threading
from collections import OrderedDict

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.text import TextTower, require_strength
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.inputs import fitted_tower
from rtd_adapters.patch import TextEncoderPatch

KEPT = 4
"""Towers that are kept besides the backbone's own; the one that was used longest ago goes."""


class Towers:
    """A backbone's text tower with a patch at any strength. Threads may ask at once.

    Args:
        backbone: on its device, which it does not leave.
        patch: None where there is the backbone's own tower alone.

    Raises:
        PatchError: the patch was made for another tower.
    """

    def __init__(self, backbone: Backbone, patch: TextEncoderPatch | None) -> None:
        if patch is not None:
            patch.require_fit(backbone.tower.state_dict(), backbone.tower.config)
        self._backbone, self._patch = backbone, patch
        self._kept: OrderedDict[float, TextTower] = OrderedDict()
        self._building = threading.Lock()

    @property
    def base(self) -> TextTower:
        """The backbone's own."""
        return self._backbone.tower

    def require(self, strength: float) -> None:
        """Refuse a strength at which there is no tower.

        Raises:
            UsageError: it is not between 0 and 1, or above 0 without a patch.
        """
        require_strength(strength)
        if strength and self._patch is None:
            raise UsageError(
                f"strength {strength:g} is of a patch, and there is none. Load the encoder with "
                "patch=."
            )

    def at(self, strength: float) -> TextTower:
        """The tower at a strength: 0 is the backbone's own.

        Raises:
            UsageError: as `require`.
        """
        self.require(strength)
        if not strength or self._patch is None:
            return self.base
        with self._building:
            if strength not in self._kept:
                while len(self._kept) >= KEPT:
                    self._kept.popitem(last=False)
                self._kept[strength] = fitted_tower(self._backbone, self._patch, strength)
            self._kept.move_to_end(strength)
            return self._kept[strength]
