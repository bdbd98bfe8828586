"""The table of families in docs/towers.md: python examples/towers/table.py [NAME] ...

Every row is run in a process of its own, so that its memory is free before the next. Without names
all rows are made; a name is the row's own, or a part of it.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from full_towers import FULL
from tower_builders import Maker
from tower_case import Case
from tower_cells import (
    applied,
    engine_difference,
    moved,
    parity,
    reloaded,
    reverted,
    seconds_per_step,
    some_batch,
    towers_for,
    trained,
)

from rtd_adapters.clip.text import TextTower
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.training import TrainingSettings

BATCH, ROUNDS, RATE = 4, 2, 1e-5
COLUMNS = (
    "text tower",
    "no pseudo token",
    "one",
    "three",
    "fast = reference",
    "in fp64",
    "applied",
    "reverted",
    "at strength 0.5",
    "loss, 5 steps",
    "moved",
    "reloaded",
    "reference, s",
    "fast, s",
    "times faster",
)


@dataclass(frozen=True)
class Row:
    """What was measured of one tower, in the columns' order."""

    name: str
    plain: float
    one: float
    several: float
    engines: float
    engines_fine: float
    applied: float
    reverted: bool
    half: float
    first_loss: float
    last_loss: float
    moved: float
    reloaded: float
    reference: float
    fast: float
    times: float

    def cells(self) -> list[str]:
        """As they stand in the table."""
        name, *differences, reverted, half = astuple(self)[:9]
        return [
            name,
            *map(_digit, differences),
            "yes" if reverted else "NO",
            _digit(half),
            f"{self.first_loss:.2f} to {self.last_loss:.2f}",
            _digit(self.moved),
            _digit(self.reloaded),
            f"{self.reference:.2f}",
            f"{self.fast:.2f}",
            f"{self.times:.1f}",
        ]


def _digit(value: float) -> str:
    """A difference to one digit; 0 is bit for bit."""
    return f"{value:.0e}" if value else "0"


def row(maker: Maker, batch_size: int, rounds: int, rate: float) -> Row:
    """All cells of one tower."""
    case = _made(maker)
    tower = case.tower()
    parities = [parity(case, tower, placeholders) for placeholders in (0, 1, 3)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trained.safetensors"
        patch, losses = trained(case, tower, batch_size=batch_size, rate=rate)
        patch.save(path)
        del patch, tower
        loaded = TextEncoderPatch.load(path)
        on = (applied(case, loaded), reverted(case, loaded), applied(case, loaded, 0.5))
        distance = moved(case, loaded)
        again = reloaded(case, loaded, Path(folder))
    name = case.name
    del case, loaded
    tower = _made(maker).tower()  # as it was before training, which leaves random texts alike
    apart = (_engines(tower, batch_size), _engines(tower.double(), batch_size))
    gc.collect()
    times = seconds_per_step(tower.float(), batch_size, rounds)
    return Row(name, *parities, *apart, *on, losses[0], losses[-1], distance, again, *times)


def _made(maker: Maker) -> Case:
    gc.collect()
    torch.manual_seed(0)
    return maker()


def _engines(tower: TextTower, batch_size: int) -> float:
    """Both towers of a step are one here, and its token table takes gradients by rows: less memory
    for the same figures."""
    tower.token_embedding.sparse = True
    towers = towers_for(tower, tower.requires_grad_(True))
    batch = some_batch(towers, batch_size)
    found = engine_difference(towers, TrainingSettings(batch_size=batch_size), batch)
    tower.requires_grad_(False)
    return found


def header() -> str:
    """The table's first two lines."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def main(names: list[str]) -> None:
    """Print one row, or the table with a process for each row."""
    chosen = [name for name in FULL if not names or any(part in name for part in names)]
    if len(chosen) == 1:
        print(f"| {' | '.join(row(FULL[chosen[0]], BATCH, ROUNDS, RATE).cells())} |")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(f"{chosen[0]}: {peak:.1f} GB at most", file=sys.stderr)
        return
    print(header(), flush=True)
    for name in chosen:
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
