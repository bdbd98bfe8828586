"""What a patch changed besides the figures: each question with numbers, a chart and a sentence.

All of it in the built-in world, whose target captions and scenes are known. The questions are the
paper's (its analysis of anchors, modality gap and robustness); the measurements are ours.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.demo.captions import full_caption
from rtd_adapters.evaluation.charts import Series
from rtd_adapters.evaluation.demo_world import DemoWorld
from rtd_adapters.evaluation.metrics import recall_at, target_ranks
from rtd_adapters.text import TextTower

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SEED = 0
R1, TEXT_R1 = "recall@1", "text_to_image_recall@1"
Change = Callable[[str, random.Random], str]


@dataclass(frozen=True)
class Diagnosis:
    """One question's answer."""

    name: str
    figures: dict[str, float]
    reading: str
    """One sentence."""
    series: Series
    """For a chart; empty where there is none to draw."""
    across: str = ""
    up: str = ""


@dataclass(frozen=True)
class Patient:
    """A patched tower beside its base, in the built-in world."""

    world: DemoWorld
    base: TextTower
    patched: TextTower

    def at(self, strength: float) -> TextTower:
        """The tower between base and patched."""
        if strength == 0:
            return self.base
        tower = TextTower(self.base.config).eval().requires_grad_(False)
        old, new = self.base.state_dict(), self.patched.state_dict()
        tower.load_state_dict({n: t + strength * (new[n] - t) for n, t in old.items()})
        return tower


@torch.no_grad()
def anchor_alignment(patient: Patient) -> Diagnosis:
    """Cosine of target captions to their pictures, and whether they still find them."""
    targets = patient.world.gallery[patient.world.queries.targets]
    captions = patient.world.queries.target_captions
    cosines, kept = [], []
    for tower in (patient.base, patient.patched):
        cosines.append(F.cosine_similarity(_texts(patient, tower, captions), targets).mean().item())
        kept.append(patient.world.evaluate(tower)[TEXT_R1])
    figures = {
        "cosine_before": cosines[0],
        "cosine_after": cosines[1],
        f"{TEXT_R1}_before": kept[0],
        f"{TEXT_R1}_after": kept[1],
    }
    reading = (
        f"Plain captions keep {100 * kept[1] / max(kept[0], 1e-9):.0f} % of their text-to-image "
        f"recall; their cosine to the picture went from {cosines[0]:.2f} to {cosines[1]:.2f}."
    )
    return Diagnosis("anchor-alignment", figures, reading, {})


@torch.no_grad()
def modality_gap(patient: Patient) -> Diagnosis:
    """How far texts lie from pictures, and what words do in the pseudo token's place."""
    world = patient.world
    pictures = F.normalize(world.gallery, dim=-1).mean(0)
    figures = {}
    for name, tower in (("before", patient.base), ("after", patient.patched)):
        texts = F.normalize(_texts(patient, tower, world.queries.target_captions), dim=-1).mean(0)
        figures[f"centroid_distance_{name}"] = (pictures - texts).norm().item()
        figures[f"pseudo_token_{R1}_{name}"] = world.evaluate(tower)[R1]
        figures[f"caption_words_{R1}_{name}"] = _words_recall(patient, tower)
    token, words = (figures[f"{kind}_{R1}_after"] for kind in ("pseudo_token", "caption_words"))
    reading = (
        f"The patched encoder finds {token:.1f} % with the picture's pseudo token and "
        f"{words:.1f} % with the reference caption's words in its place."
    )
    return Diagnosis("modality-gap", figures, reading, {})


@torch.no_grad()
def robustness(patient: Patient) -> Diagnosis:
    """Recall under conditioning texts as people and adversaries write them."""
    figures = {}
    for name, change in CHANGES.items():
        draw = random.Random(SEED)
        texts = [change(text, draw) for text in patient.world.queries.texts]
        world = replace(patient.world, queries=replace(patient.world.queries, texts=texts))
        for side, tower in (("before", patient.base), ("after", patient.patched)):
            figures[f"{name}_{side}"] = world.evaluate(tower)[R1]
    losing = [name for name in CHANGES if figures[f"{name}_after"] < figures[f"{name}_before"]]
    reading = (
        f"With typos the patched encoder finds {figures['typo_after']:.1f} % "
        f"(unchanged texts: {figures['unchanged_after']:.1f} %, base with typos: "
        f"{figures['typo_before']:.1f} %); it is worse than the base under: "
        f"{', '.join(losing) or 'none of them'}."
    )
    return Diagnosis("robustness", figures, reading, {})


@torch.no_grad()
def strength_sweep(patient: Patient) -> Diagnosis:
    """From the base encoder to the patched one."""
    found = [patient.world.evaluate(patient.at(strength)) for strength in STRENGTHS]
    composed, plain = ([figures[name] for figures in found] for name in (R1, TEXT_R1))
    best = max(range(len(STRENGTHS)), key=lambda place: composed[place])
    figures = {f"{R1}_at_{s:g}": value for s, value in zip(STRENGTHS, composed, strict=True)}
    figures |= {f"{TEXT_R1}_at_{s:g}": value for s, value in zip(STRENGTHS, plain, strict=True)}
    reading = (
        f"Composed recall is best at strength {STRENGTHS[best]:g} ({composed[best]:.1f} %), where "
        f"text-to-image recall is {plain[best]:.1f} % (base: {plain[0]:.1f} %)."
    )
    series = {
        "composed": list(zip(STRENGTHS, composed, strict=True)),
        "text to image": list(zip(STRENGTHS, plain, strict=True)),
    }
    return Diagnosis("strength", figures, reading, series, "strength", "recall@1, per cent")


def _typo(text: str, draw: random.Random) -> str:
    words = text.split()
    long = [place for place, word in enumerate(words) if len(word) > 3]
    if not long:
        return text
    place = draw.choice(long)
    letters = list(words[place])
    at = draw.randrange(1, len(letters) - 1)
    letters[at], letters[at - 1] = letters[at - 1], letters[at]
    return " ".join([*words[:place], "".join(letters), *words[place + 1 :]])


CHANGES: dict[str, Change] = {
    "unchanged": lambda text, draw: text,
    "typo": _typo,
    "negated": lambda text, draw: f"is not one that {text}",
    "contradictory": lambda text, draw: f"{text} and is just the same as before",
    "irrelevant": lambda text, draw: "was seen on a quiet afternoon",
    "empty": lambda text, draw: "",
    "ignore_the_picture": lambda text, draw: f"ignore the picture , {text}",
}
DIAGNOSTICS: dict[str, Callable[[Patient], Diagnosis]] = {
    "anchor-alignment": anchor_alignment,
    "modality-gap": modality_gap,
    "robustness": robustness,
    "strength": strength_sweep,
}


def _texts(patient: Patient, tower: TextTower, texts: Sequence[str]) -> Tensor:
    tokenizer = patient.world.method.tokenizer(tower.config.context_length)
    return tower(tokenizer.encode(texts))


def _words_recall(patient: Patient, tower: TextTower) -> float:
    """Recall at 1 with the reference's caption at the placeholder."""
    world, draw = patient.world, random.Random(SEED)
    method, queries = world.method, world.queries
    prompts = [
        method.composed_prompt.format(text=text).replace(
            method.placeholder, full_caption(queries.gallery[reference], draw)
        )
        for reference, text in zip(queries.references, queries.texts, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few such prompts are cut; pseudo tokens never are
        found = F.normalize(_texts(patient, tower, prompts), dim=-1)
    scores = found @ F.normalize(world.gallery, dim=-1).T
    return recall_at(target_ranks(scores, torch.tensor(queries.targets)), (1,))[1]
