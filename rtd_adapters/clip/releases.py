"""What releases of other people's libraries break, and which are installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

Release = tuple[int, int]
"""Major and minor number."""

ENCODE_REFUSED_FROM: Release = (4, 54)
"""transformers' CLIP encoder refuses the causal mask of `encode_with_pseudo_tokens_HF`."""
ENCODE_WRONG_FROM: Release = (5, 0)
"""From here on it takes no notice of that mask, and the tower attends in both directions."""


def installed_release(package: str) -> Release | None:
    """The installed release of a package; None where there is none."""
    try:
        major, minor = version(package).split(".")[:2]
    except PackageNotFoundError:
        return None
    return int(major), int("".join(sign for sign in minor if sign.isdigit()) or 0)
