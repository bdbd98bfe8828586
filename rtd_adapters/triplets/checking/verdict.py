"""What the measures of a triplet file mean for a training run. The thresholds are ours."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from rtd_adapters.triplets.checking.flaws import (
    DAMAGED,
    FOREIGN,
    NEAR_REPEATED,
    PLACEHOLDER,
    REPEATED,
    UNCHANGED,
)
from rtd_adapters.triplets.checking.plausible import ODD
from rtd_adapters.triplets.checking.quality import UNUSABLE, Measures
from rtd_adapters.triplets.checking.sense import (
    IMPLAUSIBLE,
    MIXED,
    UNANSWERED,
    UNGRAMMATICAL,
    UNNATURAL,
)
from rtd_adapters.triplets.checking.variety import COMPARED, commonest
from rtd_adapters.triplets.records import Triplet

GOOD, UNIFORM, DOUBTFUL, UNFIT = VERDICTS = ("good", "uniform", "doubtful", "unfit")
"""From the best to the worst."""
FEW = 1000
TOLERATED = {
    REPEATED: 0.02,
    NEAR_REPEATED: 0.1,
    UNCHANGED: 0.01,
    FOREIGN: 0.02,
    PLACEHOLDER: 0.0,
    DAMAGED: 0.01,
}
"""Share of triplets beyond which a flaw raises doubt."""
SENSELESS = {
    IMPLAUSIBLE: (
        0.3,
        0.5,
        f"{{share}} of the targets describe an unlikely picture: what came hardly ever stands "
        f"with the words around it. Of real captions {ODD}% would seem so.",
    ),
    UNGRAMMATICAL: (0.1, 0.3, "{share} of the targets are worse English than their references."),
    MIXED: (
        0.4,
        0.6,
        "{share} of the changes do not keep to one attribute: what came is of another kind than "
        "what went, or too much changed.",
    ),
    UNNATURAL: (
        0.15,
        0.5,
        "{share} of the conditioning texts are not worded as a person would: an article is "
        "missing, or number and verb do not agree.",
    ),
    UNANSWERED: (0.2, 0.5, "{share} of the targets do not do what the conditioning asks."),
}
"""Fault to the share of the sample beyond which it is doubtful, and unfit, and what to say."""
EXAMPLES = 3
FAR_SHARE = 0.2
"""Of targets far from every caption; of the references 5 % are."""
UNFIT_SHARE = 0.2
"""Of targets equal to their reference: there the objective pulls a caption to itself."""
CUT_SHARE = 0.02
ENGLISH_SHARE = 0.5
FEW_WORDINGS = 0.12
"""Share of texts worded as no other, of `COMPARED`: rules have less, people more."""
PEOPLES = {"FashionIQ": 0.20, "CIRR": 0.79}
"""That share of what people wrote for two benchmarks, by examples/benchmarks/wordings.py."""
CLOSE, FAR = 0.97, 0.2
"""Mean cosine of reference and target: nothing is changed, or nothing is kept."""


@dataclass(frozen=True)
class Reason:
    """Something against the file."""

    verdict: str
    """uniform, doubtful or unfit."""
    text: str
    examples: tuple[Triplet, ...] = ()
    """Triplets that show it."""


@dataclass(frozen=True)
class Verdict:
    """Whether a file is fit to train on, and why not."""

    reasons: tuple[Reason, ...]

    @property
    def word(self) -> str:
        """The worst of the reasons': good (there is none), uniform (each triplet may be good, but
        all are alike), doubtful (it trains, but look at the reasons) or unfit."""
        return max((reason.verdict for reason in self.reasons), key=VERDICTS.index, default=GOOD)


def judge(measures: Measures) -> Verdict:
    """The verdict on a measured source."""
    parts = (_form, _flaws, _sense, _texts, _similarity, _wordings)
    return Verdict(tuple(reason for part in parts for reason in part(measures)))


def _form(measures: Measures) -> list[Reason]:
    unusable = sum(measures.flaws[name] for name in UNUSABLE)
    if not measures.triplets:
        return [Reason(UNFIT, f"None of {measures.rows:,} rows is a triplet.")]
    reasons = []
    if unusable:
        text = f"{unusable:,} of {measures.rows:,} rows are no triplet; --fix leaves them out."
        reasons.append(Reason(UNFIT, text))
    if measures.triplets < FEW:
        reasons.append(Reason(DOUBTFUL, f"Only {measures.triplets:,} triplets; bring {FEW:,}."))
    return reasons


def _flaws(measures: Measures) -> list[Reason]:
    reasons = []
    for name, tolerated in TOLERATED.items():
        share = measures.flaws[name] / max(1, measures.triplets)
        if share > tolerated:
            unfit = name == UNCHANGED and share > UNFIT_SHARE
            text = f"{share:.1%} of the triplets: {name}."
            reasons.append(Reason(UNFIT if unfit else DOUBTFUL, text))
    return reasons


def _sense(measures: Measures) -> list[Reason]:
    reasons = []
    for fault, (doubtful, unfit, text) in SENSELESS.items():
        share = measures.sense.share(fault)
        if share > doubtful:
            examples = tuple(measures.sense.examples[fault][:EXAMPLES])
            verdict = UNFIT if share > unfit else DOUBTFUL
            reasons.append(Reason(verdict, text.format(share=f"{share:.0%}"), examples))
    return reasons


def _texts(measures: Measures) -> list[Reason]:
    reasons = []
    if measures.truncated > CUT_SHARE * 3 * measures.triplets:
        text = f"{measures.truncated:,} texts are longer than {measures.context_length} tokens."
        reasons.append(Reason(DOUBTFUL, f"{text} They will be cut."))
    if measures.triplets and measures.english < ENGLISH_SHARE * measures.triplets:
        share = measures.english / measures.triplets
        reasons.append(Reason(DOUBTFUL, f"Only {share:.0%} of the triplets read like English."))
    return reasons


def _similarity(measures: Measures) -> list[Reason]:
    values = measures.similarities.get("reference to target")
    if not values:
        return []
    texts, centre = [], mean(values)
    if centre > CLOSE:
        texts.append(f"Targets hardly differ from references (cosine {centre:.2f}).")
    if centre < FAR:
        texts.append(f"Targets share little with references (cosine {centre:.2f}).")
    if measures.far > FAR_SHARE:
        texts.append(
            f"{measures.far:.0%} of the targets are farther from every other caption of the file "
            "than 95% of its references are."
        )
    return [Reason(DOUBTFUL, text) for text in texts]


def _wordings(measures: Measures) -> list[Reason]:
    varied = measures.variety
    if varied.texts < COMPARED or varied.alone >= FEW_WORDINGS:
        return []
    return [
        Reason(
            UNIFORM,
            f"All ask in few ways: {varied.alone:.0%} of the conditioning texts are built as no "
            f"other is (of FashionIQ's {PEOPLES['FashionIQ']:.0%}, of CIRR's "
            f"{PEOPLES['CIRR']:.0%}), the others mostly as {commonest(varied)}. Mix in triplets of "
            "people or of a language model.",
        )
    ]
