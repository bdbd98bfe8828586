"""How likely words are in a caption, by what the captions of a corpus say together."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from statistics import mean, quantiles

from rtd_adapters.triplets.checking.attributes import stands_in
from rtd_adapters.triplets.checking.changes import Change, Phrase
from rtd_adapters.triplets.checking.usage import Usage, runs
from rtd_adapters.triplets.language.company import EDGE, Company
from rtd_adapters.triplets.language.kinds import Kinds
from rtd_adapters.triplets.language.tokens import UNSAID, Token

ENOUGH = 500
"""Captions below which a corpus says nothing."""
TOGETHER = 1.5
"""Weight of the mean affinity to the rest of the caption, where the mean of the best two and what
stands on either side have 1: near what a logistic regression gives that tells phrases of COCO
captions from words that rules swapped in at random."""
ODD = 15
"""Percent of the phrases of real captions that count as unlikely, at most; gives the threshold."""

LIKELY = 1.0
"""Score from which on a phrase is likely whatever others reach: each part is then a quarter
oftener than by chance. Captions that hardly vary reach more."""

CHANCE = 0.0


class Likelihood:
    """Scores phrases by the words around them, against what real captions reach."""

    def __init__(
        self, company: Company, usage: Usage, captions: Iterable[Sequence[Token]], seed: int = 0
    ) -> None:
        """Take a sample of the captions that the counts are of."""
        self._company, self._usage = company, usage
        draw = random.Random(seed)
        scores = [score for c in captions if (score := self._real(c, draw)) is not None]
        self.threshold: float | None = None
        """Score below which a phrase is unlikely; None where too little is known."""
        if company.captions >= ENOUGH and len(scores) > 1:
            self.threshold = min(LIKELY, quantiles(scores, n=100)[ODD - 1])

    def is_plausible(self, change: Change, kinds: Kinds) -> bool:
        """Whether every phrase that came is likely enough; without evidence it is.

        What came for a word of its kind must not be seldomer than chance has it: little would be
        known of most such swaps otherwise, and they are sensible as a rule.
        """
        if self.threshold is None:
            return True
        for phrase in change.came:
            same_kind = stands_in(phrase, change.left, kinds)
            least = min(self.threshold, CHANCE) if same_kind else self.threshold
            score = self.score(phrase, change.target)
            if score is not None and score < least:
                return False
        return True

    def score(self, phrase: Phrase, sentence: Sequence[Token], less: int = 0) -> float | None:
        """How much oftener than by chance a phrase stands with the rest of the sentence, a sum of
        logarithms; None for one that the corpus does not know. `less` captions are left out."""
        company, head = self._company, phrase[-1]
        if self._usage.seen(head) <= less:
            return None
        own = {token.term for token in phrase}
        around = {t.term for t in sentence if t.is_content} - own
        known = [term for term in around if company.seen(term) > less]
        if not known:
            return None
        affinities = sorted(company.affinity(head.term, term, less) for term in known)
        left, right = _sides(phrase, sentence)
        beside = company.adjacency(left, phrase[0].term, less)
        beside += company.adjacency(head.term, right, less)
        return TOGETHER * mean(affinities) + mean(affinities[-2:]) + beside

    def _real(self, sentence: Sequence[Token], draw: random.Random) -> float | None:
        phrases = [tuple(sentence[first:end]) for first, end in runs(sentence)]
        return self.score(draw.choice(phrases), sentence, less=1) if len(phrases) > 1 else None


def _sides(phrase: Phrase, sentence: Sequence[Token]) -> tuple[str, str]:
    """The terms before and behind, articles and possessives left out."""
    said = [token for token in sentence if token.text not in UNSAID]
    first, last = said.index(phrase[0]), said.index(phrase[-1])
    left = said[first - 1] if first else None
    right = said[last + 1] if last + 1 < len(said) else None
    return (
        left.term if left and left.is_word else EDGE,
        right.term if right and right.is_word else EDGE,
    )
