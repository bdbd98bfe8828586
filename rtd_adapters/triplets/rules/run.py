"""Makes triplets by rule: one or two attributes of a caption change to what others say there.

The keyword route is CompoDiff's (arXiv 2303.11916), which RTD (arXiv 2406.09188) reports to train
nearly as well as a language model's triplets. Kinds of words, what may replace what, the wordings
and the grammar are ours.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from rtd_adapters.errors import TripletError, UsageError, require_number
from rtd_adapters.triplets.encoder import Embed
from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.kinds import Kinds, read_kinds
from rtd_adapters.triplets.language.tokens import tokens
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.rules.draws import drawn_triplets
from rtd_adapters.triplets.rules.likeness import Likeness
from rtd_adapters.triplets.sources import read_captions, source_identity, write_triplets
from rtd_adapters.triplets.work import CAPTIONS, Journal, Watch, work_folder

FLUSH_EVERY = 256
BATCH = 64
"""Captions whose triplets are embedded together."""
TRIED = 4
"""Triplets of a caption among which a backbone chooses."""


@dataclass(frozen=True)
class RuleSettings:
    """What decides which triplets the rules make of given captions."""

    per_caption: int = 1
    """At most so many triplets of one caption."""
    band: tuple[float, float] = (0.5, 0.99)
    """Least and greatest cosine between reference and target caption; needs an encoder."""
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.band
        for bound in self.band:
            require_number("--band", bound, least=-1, most=1)
        if low > high:
            raise UsageError(f"--band is {low:g} {high:g}: the low end is above the high one.")


@dataclass
class RuleCounts:
    """What became of the captions."""

    captions: int = 0
    triplets: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason to number of captions."""


def rule_triplets(
    source: str | Path,
    out: Path,
    settings: RuleSettings = RuleSettings(),
    *,
    column: str | None = None,
    kinds: Path | None = None,
    embed: Embed | None = None,
    encoder: str | None = None,
    overwrite: bool = False,
    watch: Watch = lambda rows, label: rows,
) -> RuleCounts:
    """Write triplets made of a source's captions to `out`, in bounded memory.

    A run that breaks off leaves OUT.work, from which the same call goes on to the same file.

    Args:
        source: captions, as `read_captions` takes them.
        out: JSON lines in the official format.
        settings: of the rules.
        column: name of the caption column.
        kinds: a file of more words, as `Kinds` reads it.
        embed: the frozen text tower, which chooses among the triplets of a caption.
        encoder: its name, by which an unfinished run knows whether it still fits.
        overwrite: replace `out`.
        watch: shows progress.

    Raises:
        TripletError: captions or words cannot be read, or nothing is left; the message says which
            filter took how many.
        FileError: a file cannot be read or written, or an unfinished run is in the way.
    """
    words = read_kinds(kinds)
    job: dict[str, Any] = {
        "source": source_identity(source),
        "column": column,
        "kinds": words.sha256,
        "encoder": encoder,
        **asdict(settings),
        "band": list(settings.band),
    }
    with work_folder(out, job, overwrite=overwrite) as folder:
        journal = Journal(folder / CAPTIONS)
        captions = islice(read_captions(source, column), len(journal), None)
        _keep(watch(captions, "captions"), journal)
        company = Company(words).count(tokens(c, words) for c in watch(journal, "words"))
        likeness = Likeness(embed, journal, settings.band) if embed else None
        counts = RuleCounts()
        drawn = _draw(watch(journal, "triplets"), words, company, settings, counts)
        made = _make(drawn, likeness, settings, counts)
        counts.triplets = write_triplets(out, _required(made, counts))
    return counts


def _keep(captions: Iterable[str], journal: Journal) -> None:
    """Append captions to the journal."""
    with journal.writing() as writer:
        for caption in captions:
            writer.append(caption)
            if len(journal) % FLUSH_EVERY == 0:
                writer.flush()


def _draw(
    captions: Iterable[str],
    words: Kinds,
    company: Company,
    settings: RuleSettings,
    counts: RuleCounts,
) -> Iterator[Iterator[Triplet]]:
    """The triplets that could be made of each new caption."""
    seen: set[bytes] = set()
    for number, caption in enumerate(captions):
        counts.captions += 1
        if not caption:
            counts.dropped["empty caption"] += 1
        elif not _is_new(caption.lower(), seen):
            counts.dropped["repeated caption"] += 1
        else:
            yield drawn_triplets(
                caption, words, company, random.Random(f"{settings.seed} {number}")
            )


def _make(
    drawn: Iterator[Iterator[Triplet]],
    likeness: Likeness | None,
    settings: RuleSettings,
    counts: RuleCounts,
) -> Iterator[Triplet]:
    """Triplets of all captions, none twice; fills `counts`."""
    seen: set[bytes] = set()
    tried = settings.per_caption if likeness is None else max(TRIED, settings.per_caption)
    while batch := [list(islice(triplets, tried)) for triplets in islice(drawn, BATCH)]:
        for triplets, kept in zip(
            batch, likeness.choose(batch) if likeness else batch, strict=True
        ):
            fresh = [t for t in kept if _is_new(f"{t.reference}\n{t.target}".lower(), seen)]
            if not triplets:
                counts.dropped["nothing in it can be changed"] += 1
            elif not kept:
                counts.dropped["every change is unlike the captions"] += 1
            elif not fresh:
                counts.dropped["every change repeats another"] += 1
            yield from fresh[: settings.per_caption]


def _is_new(text: str, seen: set[bytes]) -> bool:
    key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    if key in seen:
        return False
    seen.add(key)
    return True


def _required(triplets: Iterator[Triplet], counts: RuleCounts) -> Iterator[Triplet]:
    """The triplets themselves, of which there must be one at least."""
    empty = True
    for triplet in triplets:
        empty = False
        yield triplet
    if empty:
        taken = ", ".join(f"{reason}: {n:,}" for reason, n in counts.dropped.most_common() if n)
        raise TripletError(
            f"No triplet came of {counts.captions:,} captions ({taken or 'no captions'}). Bring "
            "more captions, name the words of your field with --kinds, or widen --band."
        )
