"""Our tower against the model's own code, on two texts: once, whenever a backbone is loaded.

A library may change what it computes, or somebody may have changed a model in a way that its parts
do not show. Whoever patches it shall be told, not fooled.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F

from rtd_adapters.clip.text import LiveTower, TextTower
from rtd_adapters.errors import BackboneError, first_line

PROBES = ("a photo of a dog", "two red stars on a dark wall, and 3 small green circles")
TOLERANCE = 1e-4
"""Between unit vectors, in fp32. Rounding gives 1e-6. Another mask, pooling, number of heads, first
position or QuickGELU gives more (tests/towers); GELU for its tanh form gives 5e-5 to 2e-4 there and
may pass, but which of them a model has is read by evaluating it."""


@torch.no_grad()
def require_agreement(live: LiveTower, tower: TextTower, name: str) -> None:
    """Check that our tower gives two texts the directions that the model's own code gives them.

    Args:
        live: the tower inside the model, in fp32.
        tower: ours, made of it.
        name: of the backbone, for the message.

    Raises:
        BackboneError: it does not, or the model's own code fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a short context cuts a probe, which is fine
        ids = tower.tokenizer().encode(PROBES).to(tower.device)
    try:
        theirs = live.encode(ids)
    except Exception as error:
        raise BackboneError(
            f"{name} cannot encode texts with its own code ({first_line(error)}), so rtd cannot "
            "check that it computes the same. Install the versions of its library that rtd was "
            "tested with (docs/towers.md)."
        ) from error
    units = [F.normalize(rows.float(), dim=-1) for rows in (theirs, tower(ids))]
    difference = (units[0] - units[1]).abs().max().item()
    if not difference <= TOLERANCE:
        raise BackboneError(
            f"{name} computes something else than rtd knows of a {live.family.name}: embeddings "
            f"of the same texts differ by {difference:.1e}. Its library or the model itself was "
            "changed; a patch learned from it would not fit it. Please report the model and the "
            "versions."
        )
