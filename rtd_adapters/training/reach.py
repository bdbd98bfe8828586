"""The check that training reaches every tensor it is meant to train."""

from __future__ import annotations

from torch import nn

from rtd_adapters.errors import TrainingError
from rtd_adapters.training.parameters import trained_tensors

STEPS_UNTIL_REACHED = 2  # LoRA's A sees no gradient before B has moved away from zero
ZERO_FOR_ALL = ("k_proj.bias",)
"""A key bias shifts all scores of a row alike, so its true gradient is zero."""
ZERO_FOR_SOME = ("positional_embedding_res",)
"""Only texts of more than 20 tokens reach Long-CLIP's second table of positions."""


class Reach:
    """Which trained tensors have had a gradient; within the first steps all must have had one."""

    def __init__(self, tower: nn.Module) -> None:
        self._tower = tower
        self._unreached = set(trained_tensors(tower))
        self._steps = 0

    def check(self) -> None:
        """Note a step's gradients.

        Raises:
            TrainingError: a tensor has had none in `STEPS_UNTIL_REACHED` steps.
        """
        if not self._unreached:
            return
        trained = trained_tensors(self._tower)
        self._unreached = {name for name in self._unreached if not _reached(name, trained[name])}
        self._steps += 1
        if self._unreached and self._steps >= STEPS_UNTIL_REACHED:
            names = sorted(self._unreached)
            raise TrainingError(
                f"{len(names)} trained tensors received no gradient in {STEPS_UNTIL_REACHED} steps "
                f"({', '.join(names[:3])}, ...). They would be saved untrained; "
                "narrow the trained layers."
            )


def _reached(name: str, parameter: nn.Parameter) -> bool:
    if parameter.grad is None:
        return False
    return name.endswith(ZERO_FOR_ALL + ZERO_FOR_SOME) or bool(parameter.grad.abs().sum())
