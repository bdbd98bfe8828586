"""Whether Hugging Face's Hub can be asked, found out once and soon.

Its client asks for each of a dozen files, waits between tries, and takes most of a minute to say
that there is no network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from rtd_adapters.errors import first_line

Loaded = TypeVar("Loaded")

PATIENCE = 5.0
"""Seconds in which the Hub must answer at all."""


def local_first(load: Callable[..., Loaded]) -> Loaded:
    """What `load(local_files_only=...)` gives: from the cache or, where it is not there, the Hub.

    Raises:
        Exception: whatever `load` or the Hub's client raises; ConnectionError where the Hub is not
            to be asked (HF_HUB_OFFLINE) or does not answer within `PATIENCE`.
    """
    try:
        return load(local_files_only=True)
    except Exception:
        _require_answer()
    return load(local_files_only=False)


def _require_answer() -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    session: Any = get_session()
    try:
        session.head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:  # of whatever library the client is built on
        raise ConnectionError(f"{constants.ENDPOINT}: {first_line(error)}") from error
