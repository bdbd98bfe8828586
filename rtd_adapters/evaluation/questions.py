"""What a patch changed besides the figures, asked on a benchmark: the questions of `diagnosis.py`.

Every figure has a 95 % interval, from a bootstrap over queries, captions or triplets; a change
whose interval covers 0 is called a tie. What a benchmark lacks is said, and nothing is put in its
place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtd_adapters.evaluation.bootstrap import interval
from rtd_adapters.evaluation.diagnosis import STRENGTHS
from rtd_adapters.evaluation.gap import anchor_alignment, modality_gap
from rtd_adapters.evaluation.measures import Measures, is_tie, left_out
from rtd_adapters.evaluation.perturbations import CHANGES, perturbed, wordings
from rtd_adapters.evaluation.result import Diagnosis
from rtd_adapters.evaluation.scores import less, mean
from rtd_adapters.evaluation.subject import Subject


def robustness(subject: Subject) -> Diagnosis:
    """The first metric under conditioning texts as people and adversaries write them."""
    if why := subject.lacks_composed() or subject.lacks_figures():
        return left_out("robustness", why)
    measures, metric = Measures(), ""
    asked = {name: perturbed(subject.benchmark, change) for name, change in CHANGES.items()}
    groups: dict[str, list[str]] = {"up": [], "down": [], "a tie": []}
    for name, benchmark in (asked | wordings(subject.benchmark)).items():
        metric, before = subject.search(subject.base, benchmark)
        _, after = subject.search(subject.patched, benchmark)
        measures.compare(name, before, after)
        groups[measures.direction(f"{name}_change")].append(name)
    reading = (
        f"With typos {metric} of the patched encoder is {measures.change('typo_change')} against "
        f"the base; it is up under: {_listed(groups['up'])}; down under: "
        f"{_listed(groups['down'])}; a tie under: {_listed(groups['a tie'])}."
    )
    return measures.diagnosis("robustness", reading)


def strength(subject: Subject) -> Diagnosis:
    """The first metric from the base encoder to the patched one."""
    if why := subject.lacks_figures():
        return left_out("strength", why)
    measures, metric, found = Measures(), "", {}
    for value in STRENGTHS:
        metric, found[value] = subject.search(subject.at(value))
        measures.add(f"strength_{value:g}", found[value])
    best = max(STRENGTHS, key=lambda value: mean(found[value]))
    others = [value for value in STRENGTHS if value != best]
    tied = [f"{v:g}" for v in others if is_tie(interval(less(found[best], found[v])))]
    reading = (
        f"{metric} is best at strength {best:g} ({mean(found[best]):.1f} %); a tie with strength: "
        f"{_listed(tied)}."
    )
    series = {metric: [(value, mean(parts)) for value, parts in found.items()]}
    return measures.diagnosis("strength", reading, series, "strength", f"{metric}, per cent")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


QUESTIONS: dict[str, Callable[[Subject], Diagnosis]] = {
    "anchor-alignment": anchor_alignment,
    "modality-gap": modality_gap,
    "robustness": robustness,
    "strength": strength,
}
