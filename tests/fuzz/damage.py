"""Damage, as disks, networks and people do it, for hypothesis to search."""

from __future__ import annotations

import json

from hypothesis import strategies as st

NASTY = (b"\x00", b"\xff\xfe", b"[", b"{" * 50, b'"', b"\n", b"9" * 5000, b"\\ud800", b"NaN", b"-")


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with one to four pieces of damage: bits, cuts, holes, repeats, foreign bytes."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        # Headers decide how the rest is read, so half of the damage is done to the first bytes.
        reach = draw(st.sampled_from([min(len(data), 512), len(data)]))
        place = draw(st.integers(0, max(reach - 1, 0)))
        length = draw(st.integers(1, 64))
        kind = draw(st.sampled_from(["flip", "cut", "hole", "repeat", "foreign", "zeros"]))
        if kind == "flip" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[place:]
        elif kind == "hole":
            del data[place : place + length]
        elif kind == "repeat":
            data[place:place] = data[place : place + length]
        elif kind == "foreign":
            data[place:place] = draw(st.sampled_from(NASTY) | st.binary(max_size=16))
        elif kind == "zeros":
            data[place : place + length] = bytes(length)
    return bytes(data)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["../../etc/passwd", "\ud800", "\x1b[31m", "", "$", "0"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def reshaped(draw: st.DrawFn, whole: object) -> object:
    """A JSON value with one or two of its parts replaced by anything else, or gone."""
    value = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 2))):
        value = draw(_changed(value))
    return value


@st.composite
def _changed(draw: st.DrawFn, value: object) -> object:
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 5)) == 0:
        return draw(ANYTHING)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    changed = value.copy()
    if draw(st.integers(0, 3)) == 0:
        del changed[key]
    else:
        changed[key] = draw(_changed(changed[key]))
    return changed


def written(value: object) -> bytes:
    """As JSON, lone surrogates included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")
