"""What a diagnosis says, letter by letter, of a made-up world whose every answer is told here."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from rtd_adapters.evaluation.diagnosis import (
    BeforeAfter,
    anchor_alignment,
    modality_gap,
    robustness,
    strength_sweep,
)
from rtd_adapters.evaluation.world import CaptionedQueries

TEXTS = ["has become orange", "is now a large triangle", "has moved left"]
MISTYPED = ["has become oragne", "is now a lrage triangle", "has moved lfet"]
"""Drawn by seed 0."""


@dataclass(frozen=True)
class Told:
    """In the place of a world; towers are names, or strengths between them."""

    queries: CaptionedQueries
    gallery: SimpleNamespace
    texts: dict
    """Tower -> embeddings of the captions."""
    recalls: dict
    """Tower -> recall, or what gives it by the queries' texts; and the captions' recall."""
    words: dict

    def evaluate(self, tower):
        composed, plain = self.recalls[tower]
        if callable(composed):
            composed = composed(list(self.queries.texts))
        return {"recall@1": composed, "text_to_image_recall@1": plain}

    def embed(self, tower, texts):
        assert texts == ["one", "two"]
        return torch.tensor(self.texts[tower])

    def words_recall(self, tower):
        warnings.warn("a prompt was cut", stacklevel=1)
        return self.words[tower]


class Between(BeforeAfter):
    def at(self, strength):
        return strength


def asked(gallery=None, texts=None, recalls=None, words=None):
    queries = CaptionedQueries([0, 1, 2], TEXTS, [1, 2], [], ["one", "two"])
    pictures = SimpleNamespace(embedding=torch.tensor(gallery or []))
    return Between(Told(queries, pictures, texts, recalls, words), "base", "patched")


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [(40.0, 30.0, 75), (0.4, 0.3, 75), (0.0, 0.0, 0), (50.0, 60.0, 120)],
)
def test_anchor_alignment(before, after, kept):
    """Cosines to the second and third picture: 0.6 and 1, then 0.6 and 0.8."""
    found = anchor_alignment(
        asked(
            [[9.0, 9.0], [1.0, 0.0], [0.0, 2.0]],
            {"base": [[3.0, 4.0], [0.0, 5.0]], "patched": [[3.0, 4.0], [3.0, 4.0]]},
            {"base": (1.0, before), "patched": (2.0, after)},
        )
    )
    assert found.figures == pytest.approx(
        {
            "cosine_before": 0.8,
            "cosine_after": 0.7,
            "text_to_image_recall@1_before": before,
            "text_to_image_recall@1_after": after,
        }
    )
    assert found.reading == (
        f"Plain captions keep {kept} % of their text-to-image recall; their cosine to the picture "
        "went from 0.80 to 0.70."
    )


def test_the_modality_gap():
    """Centroids: pictures (0.3, 0.9), texts (1, 0) before and (0.4, 0.8) after."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = modality_gap(
            asked(
                [[3.0, 4.0], [0.0, 2.0]],
                {"base": [[5.0, 0.0], [2.0, 0.0]], "patched": [[0.0, 3.0], [4.0, 3.0]]},
                {"base": (20.0, 1.0), "patched": (34.56, 2.0)},
                {"base": 40.0, "patched": 45.64},
            )
        )
    assert found.figures == pytest.approx(
        {
            "centroid_distance_before": 1.3**0.5,
            "centroid_distance_after": 0.02**0.5,
            "pseudo_token_recall@1_before": 20.0,
            "pseudo_token_recall@1_after": 34.56,
            "caption_words_recall@1_before": 40.0,
            "caption_words_recall@1_after": 45.64,
        }
    )
    assert found.reading == (
        "The patched encoder finds 34.6 % with the picture's pseudo token and 45.6 % with the "
        "reference caption's words in its place."
    )


def test_robustness_names_what_the_patch_is_worse_under():
    base = {"has become orange": 50.0, "": 10.0, MISTYPED[0]: 30.0}
    patched = {"has become orange": 61.0, "": 9.0, MISTYPED[0]: 42.25}
    seen = []

    def by_texts(of):
        def recall(texts):
            seen.append(texts)
            return of.get(texts[0], 5.0)

        return recall

    found = robustness(
        asked(recalls={"base": (by_texts(base), 0), "patched": (by_texts(patched), 0)})
    )
    assert found.figures["typo_before"] == 30.0
    assert found.figures["empty_after"] == 9.0
    assert found.figures["negated_after"] == found.figures["negated_before"] == 5.0
    assert seen[:4] == [TEXTS, TEXTS, MISTYPED, MISTYPED]
    assert found.reading == (
        "With typos the patched encoder finds 42.2 % (unchanged texts: 61.0 %, base with typos: "
        "30.0 %); it is worse than the base under: empty."
    )
    better = robustness(asked(recalls={"base": (1.0, 0), "patched": (2.0, 0)}))
    assert better.reading.endswith("it is worse than the base under: none of them.")


def test_the_strength_at_which_composed_recall_is_best():
    composed = {0.0: 10.0, 0.25: 30.0, 0.5: 50.04, 0.75: 20.0, 1.0: 5.0}
    plain = {0.0: 90.0, 0.25: 80.0, 0.5: 70.0, 0.75: 60.0, 1.0: 40.0}
    found = strength_sweep(asked(recalls={s: (composed[s], plain[s]) for s in composed}))
    assert found.figures == {
        **{f"recall@1_at_{s:g}": value for s, value in composed.items()},
        **{f"text_to_image_recall@1_at_{s:g}": value for s, value in plain.items()},
    }
    assert found.series == {
        "composed": list(composed.items()),
        "text to image": list(plain.items()),
    }
    assert found.reading == (
        "Composed recall is best at strength 0.5 (50.0 %), where text-to-image recall is 70.0 % "
        "(base: 90.0 %)."
    )
