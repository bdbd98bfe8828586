"""Measures a source of triplets, in one pass and bounded memory."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import mean, quantiles

import numpy as np
import torch
from torch import Tensor

from rtd_adapters.clip.text import CLIP_BPE, Tokenizer, Vocabulary
from rtd_adapters.errors import TripletError
from rtd_adapters.triplets.checking.corpus import Corpus
from rtd_adapters.triplets.checking.findings import Findings, findings
from rtd_adapters.triplets.checking.flaws import Sieve, words
from rtd_adapters.triplets.checking.sense import Sense
from rtd_adapters.triplets.checking.variety import Variety, variety
from rtd_adapters.triplets.columns import Columns, EmptyText, to_triplet
from rtd_adapters.triplets.encoder import Embed
from rtd_adapters.triplets.formats import Row, read_rows
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.work import Watch

UNREADABLE = "row that cannot be read"
MALFORMED = "row without the three texts"
EMPTY = "empty text"
NEAREST_REFERENCE = "reference to nearest other reference"
NEAREST_TARGET = "target to nearest other reference"
ENOUGH_NEIGHBOURS = 100
UNUSABLE = (UNREADABLE, MALFORMED, EMPTY)

BATCH = 256
COMPOSED = "a photo of $ that {}"
"""RTD's prompt round the conditioning text, whose length counts."""
CONTEXT_LENGTH = 77
"""Of every CLIP that OpenAI published."""
LONGEST = 1024
"""Tokens; longer texts count as so long."""
QUOTED = 5
"""Messages about unusable rows that are kept."""
FUNCTION_WORDS = {
    "a",
    "an",
    "the",
    "of",
    "in",
    "on",
    "at",
    "with",
    "and",
    "is",
    "are",
    "to",
    "has",
    "for",
}


@dataclass
class Measures:
    """What was found in a source."""

    source: str
    context_length: int
    rows: int = 0
    triplets: int = 0
    flaws: Counter[str] = field(default_factory=Counter)
    """Name to number of rows that have it."""
    messages: list[str] = field(default_factory=list)
    """About the first unusable rows, each with its place."""
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    """reference, target, composed prompt: tokens with both ends, to number of texts."""
    english: int = 0
    """Triplets with an English function word."""
    edits: Counter[str] = field(default_factory=Counter)
    """Kind of change from reference to target, to number of triplets."""
    openings: Counter[str] = field(default_factory=Counter)
    """First word of the conditioning text."""
    vocabulary: Counter[str] = field(default_factory=Counter)
    """Words of reference and target captions."""
    sample: list[Triplet] = field(default_factory=list)
    """Drawn at random, every triplet with the same chance."""
    similarities: dict[str, list[float]] = field(default_factory=dict)
    """Of the sample: cosine of target with reference, and with reference and conditioning."""
    far: float = 0.0
    """Of the sample: targets farther from every other reference than 95 % of the references are."""
    sense: Findings = field(default_factory=Findings)
    """Of the sample: which triplets make no sense, and why."""
    variety: Variety = field(default_factory=Variety)
    """Of the sample: in how many ways its conditioning texts are worded."""

    @property
    def truncated(self) -> int:
        """Texts that the tokenizer would cut."""
        return sum(
            count
            for lengths in self.lengths.values()
            for length, count in lengths.items()
            if length > self.context_length
        )


def measure(
    source: str | Path,
    *,
    columns: Columns | None = None,
    embed: Embed | None = None,
    context_length: int = CONTEXT_LENGTH,
    vocabulary: Vocabulary = CLIP_BPE,
    sample: int = 2000,
    seed: int = 0,
    corpus: Corpus | None = None,
    watch: Watch = lambda rows, label: rows,
) -> Measures:
    """Measure every row, and similarities on a random sample.

    Args:
        source: triplets, as `read_triplets` takes them; bad rows are counted, not refused.
        columns: of the source.
        embed: N texts to [N, embed_dim], the text encoder of the similarities; none without it.
        context_length: tokens of a text that the encoder reads; longer texts are counted.
        vocabulary: of which tokens.
        sample: size of the random sample.
        seed: draws the sample.
        corpus: to which the references are added, and by which the sample is judged; one of its own
            without it.
        watch: shows progress.

    Raises:
        FileError: the source is missing, unreadable or damaged.
        TripletError: it stops being of its form, and reading cannot go on.
    """
    measures = Measures(str(source), context_length)
    measures.lengths = {name: Counter() for name in ("reference", "target", "composed prompt")}
    corpus = corpus or Corpus(seed=seed)
    draw, sieve, tokenizer = random.Random(seed), Sieve(), Tokenizer(LONGEST, vocabulary=vocabulary)
    triplets = _usable(watch(read_rows(source), "triplets"), columns, measures)
    while batch := list(islice(triplets, BATCH)):
        for triplet in batch:
            measures.triplets += 1
            measures.flaws.update(sieve.flaws(triplet))
            _describe(triplet, measures)
            _keep(triplet, measures, sample, draw)
        _count_tokens(batch, tokenizer, measures)
        corpus.add(triplet.reference for triplet in batch)
    measures.sense = findings(measures.sample, Sense(corpus))
    measures.variety = variety([triplet.conditioning for triplet in measures.sample])
    if embed and measures.sample:
        measures.similarities = similarities(measures.sample, embed)
        measures.far = far_share(measures.similarities)
    return measures


def clean_triplets(
    source: str | Path,
    columns: Columns | None = None,
    watch: Watch = lambda rows, label: rows,
    faults: Callable[[Triplet], Sequence[str]] = lambda triplet: (),
) -> Iterator[Triplet]:
    """Triplets worth training on: whole, new, changed by their text, without placeholders.

    Triplets with `faults` are left out.
    """
    sieve = Sieve()
    for triplet in _usable(watch(read_rows(source), "cleaning"), columns, Measures("", 0)):
        kept = sieve.clean(triplet)
        if kept and not faults(kept):
            yield kept


def similarities(triplets: Sequence[Triplet], embed: Embed) -> dict[str, list[float]]:
    """Cosines of each target caption with what it should resemble, in [-1, 1]; and of references
    and targets with the nearest other reference among the triplets."""
    target = _units(embed, [t.target for t in triplets])
    references = [t.reference for t in triplets]
    reference = _units(embed, references)
    composed = _units(embed, [f"{t.reference} {t.conditioning}" for t in triplets])
    found = {
        "reference to target": (reference * target).sum(dim=1).tolist(),
        "reference + conditioning to target": (composed * target).sum(dim=1).tolist(),
    }
    if len(set(references)) > 1:
        _, group = np.unique(references, return_inverse=True)
        own = torch.from_numpy(group)[:, None] == torch.from_numpy(group)[None, :]
        for name, rows in ((NEAREST_REFERENCE, reference), (NEAREST_TARGET, target)):
            nearest = (rows @ reference.T).masked_fill(own.to(rows.device), -1).amax(dim=1)
            found[name] = nearest.tolist()
    return found


def far_share(similarities: dict[str, list[float]]) -> float:
    """Targets whose nearest other reference is farther than that of 95 % of the references; 0 where
    there are too few to say."""
    usual = similarities.get(NEAREST_REFERENCE, [])
    if len(usual) < ENOUGH_NEIGHBOURS:
        return 0.0
    bound = quantiles(usual, n=20)[0]
    return mean(near < bound for near in similarities[NEAREST_TARGET])


def edit_kind(triplet: Triplet) -> str:
    """How the target caption's words differ from the reference caption's."""
    before, after = Counter(words(triplet.reference)), Counter(words(triplet.target))
    lost, gained = (before - after).total(), (after - before).total()
    if not lost and not gained:
        return "no word"
    if not lost:
        return "words added"
    if not gained:
        return "words removed"
    kept = (before & after).total()
    return "words swapped" if kept >= max(lost, gained) else "mostly rewritten"


def _usable(rows: Iterable[Row], columns: Columns | None, measures: Measures) -> Iterator[Triplet]:
    """The triplets of those rows that have one; the others are counted."""
    for row in rows:
        measures.rows += 1
        try:
            triplet = to_triplet(row, columns, measures.source)
        except TripletError as error:
            kind = EMPTY if isinstance(error, EmptyText) else MALFORMED
            measures.flaws[UNREADABLE if row.error else kind] += 1
            if len(measures.messages) < QUOTED:
                measures.messages.append(str(error))
        else:
            yield triplet


def _describe(triplet: Triplet, measures: Measures) -> None:
    conditioning = words(triplet.conditioning)
    captions = words(triplet.reference) + words(triplet.target)
    measures.edits[edit_kind(triplet)] += 1
    measures.openings.update(conditioning[:1])
    measures.vocabulary.update(captions)
    measures.english += not FUNCTION_WORDS.isdisjoint(captions + conditioning)


def _keep(triplet: Triplet, measures: Measures, size: int, draw: random.Random) -> None:
    """Reservoir sampling: after n triplets each is in the sample with chance size / n."""
    if len(measures.sample) < size:
        measures.sample.append(triplet)
        return
    place = draw.randrange(measures.triplets)
    if place < size:
        measures.sample[place] = triplet


def _count_tokens(batch: list[Triplet], tokenizer: Tokenizer, measures: Measures) -> None:
    texts = {
        "reference": [t.reference for t in batch],
        "target": [t.target for t in batch],
        "composed prompt": [COMPOSED.format(t.conditioning) for t in batch],
    }
    for name, rows in texts.items():
        measures.lengths[name].update(tokenizer.lengths(rows))


def _units(embed: Embed, texts: list[str]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about cut texts, which are counted already
        return torch.nn.functional.normalize(embed(texts).float(), dim=1)
