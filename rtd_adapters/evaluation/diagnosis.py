"""What a patch changed besides the figures: each question with numbers, a chart and a sentence.

They are asked here in a world whose captions are known, such as the built-in one; `questions.py`
asks them on a benchmark. The questions are the paper's (its analysis of anchors, modality gap and
robustness); the measurements are ours.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from rtd_adapters.clip.text import TextTower, interpolate
from rtd_adapters.evaluation.perturbations import CHANGES, SEED
from rtd_adapters.evaluation.result import COSINE, DISTANCE, Diagnosis
from rtd_adapters.evaluation.world import World

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
R1, TEXT_R1 = "recall@1", "text_to_image_recall@1"


@dataclass(frozen=True)
class BeforeAfter:
    """A world, and the two text towers that it is searched with."""

    world: World
    base: TextTower
    patched: TextTower

    def at(self, strength: float) -> TextTower:
        """The tower between base and patched."""
        tower = TextTower(self.base.config).eval().requires_grad_(False)
        states = self.base.state_dict(), self.patched.state_dict()
        tower.load_state_dict(interpolate(*states, strength))
        return tower

    def sides(self) -> tuple[tuple[str, TextTower], ...]:
        """Both towers by name."""
        return (("before", self.base), ("after", self.patched))


@torch.no_grad()
def anchor_alignment(pair: BeforeAfter) -> Diagnosis:
    """Cosine of target captions to their pictures, and whether they still find them."""
    targets = pair.world.gallery.embedding[pair.world.queries.targets]
    captions = pair.world.queries.target_captions
    cosines, kept = [], []
    for tower in (pair.base, pair.patched):
        texts = pair.world.embed(tower, captions)
        cosines.append(F.cosine_similarity(texts, targets).mean().item())
        kept.append(pair.world.evaluate(tower)[TEXT_R1])
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
    units = dict.fromkeys(("cosine_before", "cosine_after"), COSINE)
    return Diagnosis("anchor-alignment", figures, reading, {}, units=units)


@torch.no_grad()
def modality_gap(pair: BeforeAfter) -> Diagnosis:
    """How far texts lie from pictures, and what words do in the pseudo token's place."""
    world = pair.world
    pictures = F.normalize(world.gallery.embedding, dim=-1).mean(0)
    figures = {}
    for name, tower in pair.sides():
        texts = F.normalize(world.embed(tower, world.queries.target_captions), dim=-1).mean(0)
        figures[f"centroid_distance_{name}"] = (pictures - texts).norm().item()
        figures[f"pseudo_token_{R1}_{name}"] = world.evaluate(tower)[R1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a few such prompts are cut; pseudo tokens never are
            figures[f"caption_words_{R1}_{name}"] = world.words_recall(tower)
    token, words = (figures[f"{kind}_{R1}_after"] for kind in ("pseudo_token", "caption_words"))
    reading = (
        f"The patched encoder finds {token:.1f} % with the picture's pseudo token and "
        f"{words:.1f} % with the reference caption's words in its place."
    )
    units = {f"centroid_distance_{name}": DISTANCE for name, _ in pair.sides()}
    return Diagnosis("modality-gap", figures, reading, {}, units=units)


@torch.no_grad()
def robustness(pair: BeforeAfter) -> Diagnosis:
    """Recall under conditioning texts as people and adversaries write them."""
    figures = {}
    for name, change in CHANGES.items():
        draw = random.Random(SEED)
        texts = [change(text, draw) for text in pair.world.queries.texts]
        world = replace(pair.world, queries=replace(pair.world.queries, texts=texts))
        for side, tower in pair.sides():
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
def strength_sweep(pair: BeforeAfter) -> Diagnosis:
    """From the base encoder to the patched one."""
    measured = {strength: pair.world.evaluate(pair.at(strength)) for strength in STRENGTHS}
    composed, plain = ({s: found[name] for s, found in measured.items()} for name in (R1, TEXT_R1))
    best = max(STRENGTHS, key=composed.__getitem__)
    figures = {f"{R1}_at_{s:g}": value for s, value in composed.items()}
    figures |= {f"{TEXT_R1}_at_{s:g}": value for s, value in plain.items()}
    reading = (
        f"Composed recall is best at strength {best:g} ({composed[best]:.1f} %), where "
        f"text-to-image recall is {plain[best]:.1f} % (base: {plain[0.0]:.1f} %)."
    )
    series = {"composed": list(composed.items()), "text to image": list(plain.items())}
    return Diagnosis("strength", figures, reading, series, "strength", "recall@1, per cent")


DIAGNOSTICS: dict[str, Callable[[BeforeAfter], Diagnosis]] = {
    "anchor-alignment": anchor_alignment,
    "modality-gap": modality_gap,
    "robustness": robustness,
    "strength": strength_sweep,
}
