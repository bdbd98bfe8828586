"""Makes triplets by rule: a keyword of a caption is swapped for another one of the corpus.

The recipe is CompoDiff's keyword route (arXiv 2303.11916), which RTD (arXiv 2406.09188) reports to
train nearly as well as a language model's triplets. The word lists, the templates' wording and the
grammar are ours.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from rtd_adapters.errors import TripletError, UsageError, require_number
from rtd_adapters.triplets.encoder import Embed
from rtd_adapters.triplets.keywords import NOUN, Keyword, KeywordFinder, default_finder
from rtd_adapters.triplets.language.grammar import AFTER_ARTICLE, article, plural, swap
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.sources import read_captions, source_identity, write_triplets
from rtd_adapters.triplets.templates import TEMPLATES
from rtd_adapters.triplets.vocabulary import Vocabulary, build_vocabulary
from rtd_adapters.triplets.work import KEYWORDS, VOCABULARY, Journal, Watch, work_folder

FLUSH_EVERY = 256


@dataclass(frozen=True)
class RuleSettings:
    """What decides which triplets the rules make of given captions."""

    per_caption: int = 1
    """At most so many triplets of one caption."""
    min_count: int = 3
    """Terms that occur less often in the corpus are not used."""
    vocabulary: int = 5000
    """Number of terms used, the most frequent ones."""
    band: tuple[float, float] = (0.5, 0.7)
    """Least and greatest cosine between a term and its alternative; needs an encoder."""
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
    finder: KeywordFinder | None = None,
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
        finder: finds keywords; spaCy where it is installed, otherwise a word list.
        embed: the frozen text tower, for the cosine band; without it there is no band.
        encoder: its name, by which an unfinished run knows whether it still fits.
        overwrite: replace `out`.
        watch: shows progress.

    Raises:
        TripletError: captions cannot be read, or nothing is left; the message says which filter
            took how many.
        FileError: a file cannot be read or written, or an unfinished run is in the way.
    """
    finder = finder or default_finder()
    job: dict[str, Any] = {
        "source": source_identity(source),
        "column": column,
        "finder": finder.name,
    }
    job |= {"encoder": encoder, **asdict(settings), "band": list(settings.band)}
    with work_folder(out, job, overwrite=overwrite) as folder:
        journal = Journal(folder / KEYWORDS)
        captions = islice(read_captions(source, column), len(journal), None)
        _find_keywords(captions, finder, journal, watch)
        vocabulary = _vocabulary(folder / VOCABULARY, journal, settings, embed)
        counts = RuleCounts()
        made = _make(watch(journal, "triplets"), vocabulary, settings, counts)
        counts.triplets = write_triplets(out, _required(made, counts))
    return counts


def make_triplet(caption: str, keyword: Keyword, alternative: str, template: str) -> Triplet:
    """Swap one keyword; the target caption keeps number, capital letter and a fitting article."""
    phrase = plural(alternative) if keyword.is_plural else alternative
    source = caption[keyword.start : keyword.end].lower()
    has_article = AFTER_ARTICLE.search(caption[: keyword.start])
    a_phrase = f"{article(phrase)} {phrase}" if has_article and keyword.kind == NOUN else phrase
    text = template.format(source=source, target=phrase, a_target=a_phrase)
    return Triplet(caption, text, swap(caption, keyword.start, keyword.end, phrase))


def _find_keywords(
    captions: Iterator[str], finder: KeywordFinder, journal: Journal, watch: Watch
) -> None:
    """Append each caption with its keywords to the journal."""
    ahead: deque[str] = deque()

    def remembered() -> Iterator[str]:
        for caption in captions:
            ahead.append(caption)
            yield caption

    with journal.writing() as writer:
        for keywords in watch(finder.find(remembered()), "keywords"):
            row = [[k.start, k.end, k.kind, k.term, k.is_plural] for k in keywords]
            writer.append([ahead.popleft(), row])
            if len(journal) % FLUSH_EVERY == 0:
                writer.flush()


def _vocabulary(
    path: Path, journal: Journal, settings: RuleSettings, embed: Embed | None
) -> Vocabulary:
    if not path.is_file():
        build_vocabulary(
            ((kind, term) for _, row in journal for _, _, kind, term, _ in row),
            min_count=settings.min_count,
            size=settings.vocabulary,
            seed=settings.seed,
            embed=embed,
            band=settings.band,
        ).save(path)
    return Vocabulary.load(path)


def _make(
    rows: Iterable[Any], vocabulary: Vocabulary, settings: RuleSettings, counts: RuleCounts
) -> Iterator[Triplet]:
    """Triplets of all captions, no caption and no triplet twice; fills `counts`."""
    seen: set[bytes] = set()
    for number, (caption, row) in enumerate(rows):
        counts.captions += 1
        keywords = [Keyword(*fields) for fields in row]
        usable = [k for k in keywords if vocabulary.alternatives.get((k.kind, k.term))]
        if not caption:
            counts.dropped["empty caption"] += 1
        elif not _is_new(caption.lower(), seen):
            counts.dropped["repeated caption"] += 1
        elif not keywords:
            counts.dropped["no keyword"] += 1
        elif not usable:
            counts.dropped["no alternative for a keyword"] += 1
        else:
            draw = random.Random(f"{settings.seed} {number}")
            made = list(_swaps(caption, keywords, usable, vocabulary, draw))
            fresh = [t for t in made if _is_new(f"{t.reference}\n{t.target}".lower(), seen)]
            counts.dropped["every swap repeats another"] += not fresh
            yield from fresh[: settings.per_caption]


def _swaps(
    caption: str,
    keywords: list[Keyword],
    usable: list[Keyword],
    vocabulary: Vocabulary,
    draw: random.Random,
) -> Iterator[Triplet]:
    """One swap of each usable keyword, in random order."""
    present = {k.term for k in keywords}
    for keyword in draw.sample(usable, len(usable)):
        others = vocabulary.alternatives[keyword.kind, keyword.term]
        absent = [other for other in others if other not in present]
        if absent:
            yield make_triplet(caption, keyword, draw.choice(absent), draw.choice(TEMPLATES))


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
            "more captions, lower --min-count or widen --band."
        )
