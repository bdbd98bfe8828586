"""Whether triplets make sense, each by itself: their English, what changes, what is asked."""

from __future__ import annotations

from rtd_adapters.triplets.checking.attributes import keeps_attribute
from rtd_adapters.triplets.checking.changes import change_of
from rtd_adapters.triplets.checking.corpus import Corpus
from rtd_adapters.triplets.checking.grammar import errors
from rtd_adapters.triplets.checking.plausible import Likelihood
from rtd_adapters.triplets.checking.request import answers, wording_errors
from rtd_adapters.triplets.language.tokens import tokens
from rtd_adapters.triplets.records import Triplet

UNGRAMMATICAL = "target is worse English than its reference"
UNNATURAL = "nobody would word the conditioning so"
MIXED = "the change does not keep to one attribute"
UNANSWERED = "target does not do what the conditioning asks"
IMPLAUSIBLE = "target describes an unlikely picture"
FAULTS = (UNGRAMMATICAL, UNNATURAL, MIXED, UNANSWERED, IMPLAUSIBLE)


class Sense:
    """Names the faults of triplets; it remembers nothing of them."""

    def __init__(self, corpus: Corpus) -> None:
        """Judge by the captions of a corpus, which are taken for good ones."""
        self._kinds, self._usage, self._company = corpus.kinds, corpus.usage, corpus.company
        self._likelihood = Likelihood(corpus.company, corpus.usage, corpus.sample)

    @property
    def knows_pictures(self) -> bool:
        """Whether there are captions enough to tell unlikely pictures."""
        return self._likelihood.threshold is not None

    @property
    def means(self) -> str:
        """What it judges by."""
        listed = sum(1 for _ in self._kinds.terms())
        text = f"{listed:,} listed words and how {self._company.captions:,} captions use words"
        return text if self.knows_pictures else f"{text}, too few to tell unlikely pictures"

    def is_worse_english(self, reference: str, target: str) -> bool:
        """Whether a target makes an error that its reference does not make as often."""
        before = errors(tokens(reference, self._kinds), self._usage)
        return bool(errors(tokens(target, self._kinds), self._usage) - before)

    def faults(self, triplet: Triplet) -> list[str]:
        """Which of `FAULTS` a triplet has; none for a good one."""
        change = change_of(triplet, self._kinds)
        plausible = self._likelihood.is_plausible(change, self._kinds)
        kept = keeps_attribute(change, self._kinds, self._company, believed=plausible)
        found = {
            UNGRAMMATICAL: self.is_worse_english(triplet.reference, triplet.target),
            UNNATURAL: bool(wording_errors(triplet.conditioning, self._kinds, self._usage)),
            MIXED: not kept,
            UNANSWERED: not answers(triplet, self._kinds),
            IMPLAUSIBLE: not plausible,
        }
        return [name for name in FAULTS if found[name]]
