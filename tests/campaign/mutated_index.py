"""Damages files of an index and has it read: python -m tests.campaign.mutated_index.

Counted is what came of each: refused with a message, equal content, other content (LanceDB keeps no
checksums, so a byte inside an embedding or a small picture is another one), another exception (not
foreseen). A crash of the engine ends the campaign; the last line on standard error says where.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from rtd_adapters.errors import RtdError
from rtd_adapters.search.index import Hit, Index
from tests.campaign.index_kills import Contents, contents, draw_pictures, start
from tests.campaign.jobs import asked_for, told
from tests.campaign.mutated_files import EQUAL, REFUSED, UNFORESEEN, mutated

OTHER = "other content"
K = 10


def answers(out: Path, vectors: np.ndarray) -> list[list[Hit]]:
    """What an index finds."""
    return Index.open(out).search(vectors, K)


def same(found: Contents, expected: Contents) -> bool:
    """Whether two indexes hold the same pictures, to the bit."""
    return found[:2] == expected[:2] and np.array_equal(found[2], expected[2])


class Campaign:
    """Damages, counted by what came of them."""

    def __init__(self, root: Path, seed: int) -> None:
        self._draw = random.Random(seed)
        self._whole, self._out = root / "whole", root / "index"
        draw_pictures(root / "pictures")
        start(root / "pictures", self._whole).communicate()
        self._expected = contents(self._whole)
        self._asked = self._expected[2][:2] / np.linalg.norm(self._expected[2][:2], axis=1)[:, None]
        self._found = answers(self._whole, self._asked)
        self._files = [p for p in sorted(self._whole.rglob("*")) if p.is_file()]
        self._sizes = [path.stat().st_size for path in self._files]
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def round(self) -> None:
        """One file damaged, and everything read."""
        shutil.rmtree(self._out, ignore_errors=True)
        shutil.copytree(self._whole, self._out)
        # Most files are notes of the engine; half of the damage is done where most bytes are.
        weights = self._draw.choice([self._sizes, None])
        name = self._draw.choices(self._files, weights)[0].relative_to(self._whole)
        print(f"{sum(self.counts.values())} {name}", file=sys.stderr, flush=True)
        path = self._out / name
        path.write_bytes(mutated(path.read_bytes(), self._draw))
        try:
            is_same = same(contents(self._out), self._expected)
            is_same &= answers(self._out, self._asked) == self._found
        except RtdError:
            self.counts[REFUSED] += 1
        except Exception as error:
            self.counts[UNFORESEEN] += 1
            self.faults.append(f"{name}: {type(error).__name__}: {error}")
        else:
            self.counts[EQUAL if is_same else OTHER] += 1


def main() -> int:
    given = asked_for(__doc__ or "", count=500).parse_args()
    with tempfile.TemporaryDirectory() as root:
        campaign = Campaign(Path(root), given.seed)
        for _ in range(given.count):
            campaign.round()
    return told(campaign.counts, campaign.faults)


if __name__ == "__main__":
    raise SystemExit(main())
