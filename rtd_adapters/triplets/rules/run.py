"""Makes triplets by rule: one or two attributes of a caption change to what others say there.

The keyword route is CompoDiff's (arXiv 2303.11916), which RTD (arXiv 2406.09188) reports to train
nearly as well as a language model's triplets. Kinds of words, what may replace what, the wordings
and the grammar are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from rtd_adapters.errors import TripletError
from rtd_adapters.triplets.encoder import Embed
from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.kinds import read_kinds
from rtd_adapters.triplets.language.tokens import tokens
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.rules.likeness import Likeness
from rtd_adapters.triplets.rules.make import Maker
from rtd_adapters.triplets.rules.real import RealTargets
from rtd_adapters.triplets.rules.settings import RuleCounts, RuleSettings
from rtd_adapters.triplets.sources import read_captions, source_identity, write_triplets
from rtd_adapters.triplets.work import CAPTIONS, Journal, Watch, work_folder

FLUSH_EVERY = 256


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
        with journal.rows() as rows:
            real = RealTargets(rows, watch(journal, "pairs"), words) if settings.real else None
            maker = Maker(words, company, real, likeness, settings, counts)
            made = maker.make(watch(journal, "triplets"))
            counts.triplets = write_triplets(out, _required(made, counts))
    return counts


def _keep(captions: Iterable[str], journal: Journal) -> None:
    """Append captions to the journal."""
    with journal.writing() as writer:
        for caption in captions:
            writer.append(caption)
            if len(journal) % FLUSH_EVERY == 0:
                writer.flush()


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
