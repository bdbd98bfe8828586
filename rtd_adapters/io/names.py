"""Names for what lies beside a file, short enough whatever the file is called."""

from __future__ import annotations

import hashlib
import os

LONGEST = 120
"""Bytes of a name that another one may begin with; file systems take 255 in all."""
DIGITS = 16


def stem(name: str) -> str:
    """The name itself or, where it is long, its beginning and a hash: no two names share one."""
    raw = os.fsencode(name)
    if len(raw) <= LONGEST:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:DIGITS]
    return f"{raw[: LONGEST - DIGITS - 1].decode('utf-8', 'ignore')}-{digest}"
