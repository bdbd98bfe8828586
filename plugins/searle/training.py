"""SEARLE's own training of its projection, from pictures and phrases with concepts."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from rtd_adapters import (
    Described,
    Inverted,
    Lesson,
    LessonBatch,
    ProjectionTraining,
    TokenTeaching,
)

if TYPE_CHECKING:
    from random import Random

    from torch import Tensor

    from rtd_adapters import Inverting

TEMPLATES = (
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "a photo that shows {}",
    "there is {} in the photo",
    "a drawing of {}",
    "a close-up of {}",
    "{}",
)
"""Ours; the repository takes 24 of PALAVRA's."""
TAUGHT_CONCEPTS, TOLD_CONCEPTS = 15, 150
"""Nearest to a picture, from which phrases are drawn in the first stage and in the second."""


class SearleTeaching(TokenTeaching):
    """Its first stage (OTI): in a template a picture's token has to embed as the picture, and in a
    phrase in a near concept's place as the phrase. Settings of src/oti_inversion.py."""

    steps = 350
    batch_size = 32
    learning_rate = 2e-2
    weight_decay = 0.01
    average = 0.99
    spread = 0.02
    phrase_weight = 0.5

    def lessons(self, method: Inverting, described: Described, draw: Random) -> Sequence[Lesson]:
        """A template, and a phrase of one of the nearest concepts, all phrases alike in chance."""
        template = draw.choice(TEMPLATES).format(method.placeholder)
        nearest = described.concepts[:TAUGHT_CONCEPTS]
        (concept,) = draw.choices(nearest, [len(near.phrases) for near in nearest])
        phrase = draw.choice(concept.phrases)
        return Lesson(template), _in_place(method, concept.name, phrase, 1)

    def loss(self, embedded: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """One less the cosine, of pictures and of phrases, the latter of half the weight."""
        picture, phrase = map(_apart, embedded, targets)
        return (picture + self.phrase_weight * phrase) / (1 + self.phrase_weight)


class SearleTraining(ProjectionTraining):
    """Its second stage: a projection learns the tokens of the first by contrast, and to stand in
    phrases for a concept. Settings of src/train_phi.py; its 100 epochs of ImageNet's 100,000 test
    pictures are 39,000 steps.

    Every place of the concept in a phrase gets the token; the repository's encoder fills the first
    and leaves a bare `$` at the others.
    """

    learns_from = "pictures"
    published = MappingProxyType(
        {"steps": 39_000, "batch_size": 256, "learning_rate": 1e-4, "weight_decay": 0.01}
    )
    source = "miccunifi/SEARLE, src/oti_inversion.py and src/train_phi.py"
    concepts = TOLD_CONCEPTS
    templates = TEMPLATES
    teaching = SearleTeaching()
    temperature = 0.25
    phrase_weight = 0.75

    def lesson(self, method: Inverting, described: Described, draw: Random) -> Lesson:
        """A phrase of one of the near concepts, all concepts alike in chance."""
        concept = draw.choice(described.concepts)
        return _in_place(method, concept.name, draw.choice(concept.phrases), -1)

    def loss(self, made: Inverted, batch: LessonBatch) -> Tensor:
        """The contrast of tokens, and one less the cosine of phrases."""
        from rtd_adapters import nt_xent

        assert batch.taught is not None
        contrast = nt_xent(batch.taught, made.tokens[:, 0].float(), self.temperature)
        return contrast + self.phrase_weight * _apart(made.embedded, batch.targets)


def _in_place(method: Inverting, name: str, phrase: str, times: int) -> Lesson:
    """A phrase with the placeholder for a concept's name; the phrase itself is the target."""
    prompt = phrase.replace(name, f" {method.placeholder} ", times)
    return Lesson(" ".join(prompt.split()), phrase)


def _apart(made: Tensor, wanted: Tensor) -> Tensor:
    """One less the mean cosine."""
    from torch.nn.functional import cosine_similarity

    return 1 - cosine_similarity(made, wanted, dim=-1).mean()
