"""Draws changes of a caption: one, or two at once."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.language.tokens import Token
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.rules.additions import additions
from rtd_adapters.triplets.rules.changes import Edit, apply_edits
from rtd_adapters.triplets.rules.numbers import counts
from rtd_adapters.triplets.rules.swaps import LEAST_AFFINITY, Swap, swaps
from rtd_adapters.triplets.rules.wordings import conditioning

SWAP, TWO, ADDITION, REMOVAL = "swap", "two swaps", "addition", "removal"
SHARES = {SWAP: 0.6, TWO: 0.12, ADDITION: 0.18, REMOVAL: 0.1}
"""How often each is tried first."""


@dataclass(frozen=True)
class Drawn:
    """A triplet, and whether its target is a caption of the corpus."""

    triplet: Triplet
    is_real: bool


def drawn_triplets(
    caption: str,
    sentence: Sequence[Token],
    kinds: Kinds,
    company: Company,
    draw: random.Random,
) -> Iterator[Drawn]:
    """Triplets of a caption in random order, each with its changes drawn anew; no attribute of the
    caption is changed in the same way twice."""
    by_kind: dict[str, list[Swap]] = defaultdict(list)
    for swap in swaps(sentence, kinds, company):
        by_kind[swap.edit.change.kind].append(swap)
    for edit in counts(caption, sentence, company):
        by_kind[edit.change.kind].append(Swap(edit, 1.0))
    others = list(additions(sentence))
    left = {
        SWAP: len(by_kind),
        TWO: int(len(by_kind) > 1),
        ADDITION: sum(edit.is_reversed for edit in others),
        REMOVAL: sum(not edit.is_reversed for edit in others),
    }
    kinds_left = draw.sample(sorted(by_kind), len(by_kind))
    draw.shuffle(others)
    while any(left.values()):
        names = [name for name, count in left.items() if count]
        name = draw.choices(names, [SHARES[name] for name in names])[0]
        left[name] -= 1
        if name == SWAP:
            yield _triplet(caption, [_one(by_kind[kinds_left.pop()], draw)], draw)
        elif name == TWO:
            two = _two(by_kind, company, draw)
            if two:
                yield _triplet(caption, two, draw)
        else:
            place = next(n for n, e in enumerate(others) if e.is_reversed == (name == ADDITION))
            yield _triplet(caption, [others.pop(place)], draw)


def _one(found: Sequence[Swap], draw: random.Random) -> Edit:
    return draw.choices(found, [swap.weight for swap in found])[0].edit


def _two(
    by_kind: dict[str, list[Swap]], company: Company, draw: random.Random
) -> list[Edit] | None:
    """Two swaps that leave each other alone; None where there are none such."""
    first, second = (_one(by_kind[kind], draw) for kind in draw.sample(sorted(by_kind), 2))
    apart = {first.change.old, first.change.noun}.isdisjoint(
        {second.change.old, second.change.noun} - {""}
    )
    if max(first.start, second.start) < min(first.end, second.end) or not apart:
        return None
    fits = company.affinity(first.change.new, second.change.new) >= LEAST_AFFINITY
    return [first, second] if fits else None


def _triplet(caption: str, edits: Sequence[Edit], draw: random.Random) -> Drawn:
    edited = apply_edits(caption, edits)
    text = conditioning([edit.change for edit in edits], draw)
    if edits[0].is_reversed:
        return Drawn(Triplet(edited, text, caption), is_real=True)
    return Drawn(Triplet(caption, text, edited), is_real=False)
