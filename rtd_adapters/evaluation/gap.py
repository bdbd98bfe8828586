"""Questions about captions and pictures: are anchors still aligned, and how wide is the gap?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.clip.ranks import target_ranks
from rtd_adapters.clip.text import TextTower, clean_caption, clean_conditioning
from rtd_adapters.evaluation.benchmark import EvalQuery, Part
from rtd_adapters.evaluation.captions import CaptionEmbedder, captioned_pictures
from rtd_adapters.evaluation.features import pictures_of
from rtd_adapters.evaluation.measures import POINTS, Measures, headline, left_out
from rtd_adapters.evaluation.outcomes import part_outcomes
from rtd_adapters.evaluation.result import COSINE, DISTANCE, Diagnosis
from rtd_adapters.evaluation.scores import less
from rtd_adapters.evaluation.search import Gallery, rankings
from rtd_adapters.evaluation.subject import Subject
from rtd_adapters.methods.method import REUSE

TRIPLETS = 1_000
"""The first of those that are given."""
Embed = Callable[[TextTower, Sequence[str], Sequence[str]], Tensor]


def anchor_alignment(subject: Subject) -> Diagnosis:
    """Cosine of captions to their pictures, and whether they still find them; of composed queries
    made of triplets, to the frozen target caption."""
    measures, said = Measures(), []
    if pairs := _sound_pairs(subject):
        said.append(_to_pictures(subject, pairs, measures))
    if subject.triplets and not _unlike_training(subject):
        said.append(_to_anchors(subject, measures))
    if not said:
        why = f"{subject.benchmark.name} has no captions of its pictures; pass --triplets for texts"
        return left_out("anchor-alignment", _unlike_training(subject) or why)
    return measures.diagnosis("anchor-alignment", f"{'; '.join(said)}.")


def modality_gap(subject: Subject) -> Diagnosis:
    """How far queries and captions lie from pictures, and what refined concatenation finds where
    direct replacement puts the caption's words."""
    measures, said, lacking = Measures(), [], []
    if why := subject.lacks_composed():
        lacking.append(f"composed queries ({why})")
    else:
        both = [subject.queries(tower) for tower in (subject.base, subject.patched)]
        said.append(_distance(subject, "queries", both, measures))
    if pairs := _sound_pairs(subject):
        captions, embedder = [text for text, _ in pairs], CaptionEmbedder(subject.evaluation)
        both = [embedder.plain(tower, captions) for tower in (subject.base, subject.patched)]
        said.append(_distance(subject, "captions", both, measures))
    else:
        lacking.append(f"captions ({subject.benchmark.name} has none of its pictures)")
    concatenations = _concatenations(subject)
    if isinstance(concatenations, str):
        lacking.append(f"refined concatenation against direct replacement ({concatenations})")
    else:
        said.append(_refined_over_replaced(concatenations, subject, measures))
    if not said:
        return left_out("modality-gap", "; ".join(lacking))
    reading = "; ".join([*said, *(f"left out: {what}" for what in lacking)])
    return measures.diagnosis("modality-gap", f"{reading}.")


def _sound_pairs(subject: Subject) -> list[tuple[str, str]]:
    pairs = captioned_pictures(subject.benchmark)
    return [(text, image) for text, image in pairs if image not in subject.broken] if pairs else []


def _to_pictures(subject: Subject, pairs: list[tuple[str, str]], measures: Measures) -> str:
    embedder, gallery = CaptionEmbedder(subject.evaluation), subject.gallery
    captions, images = zip(*pairs, strict=True)
    shown = gallery.embeddings[[gallery.places[image] for image in images]]
    lost = tuple(subject.broken)
    asked = [EvalQuery(text, "", (text,), (image,), excluded=lost) for text, image in pairs]
    cosines, found = [], []
    for tower in (subject.base, subject.patched):
        texts = embedder.plain(tower, captions)
        cosines.append([F.cosine_similarity(texts, shown.float())])
        ranked = rankings(texts, gallery, asked, depth=1)
        hits = [r.rank(q.targets) == 1 for r, q in zip(ranked, asked, strict=True)]
        found.append([100 * torch.tensor(hits).double()])
    closer = measures.compare("caption_to_picture", cosines[0], cosines[1], COSINE)
    kept = measures.compare("text_to_image_recall@1", found[0], found[1])
    return (
        f"The cosine of {len(pairs):,} captions to their pictures is {closer}, their "
        f"text-to-image recall@1 {kept}"
    )


def _to_anchors(subject: Subject, measures: Measures) -> str:
    texts, embedder = _texts(subject), CaptionEmbedder(subject.evaluation)
    anchors = embedder.plain(subject.base, texts.targets)
    cosines = [
        [(embedder.refined(tower, texts.references, texts.conditioning) * anchors).sum(1)]
        for tower in (subject.base, subject.patched)
    ]
    closer = measures.compare("query_to_anchor", cosines[0], cosines[1], COSINE)
    return (
        f"The cosine of {len(anchors):,} refined concatenations to their target captions' frozen "
        f"embeddings is {closer}"
    )


def _distance(subject: Subject, what: str, both: Sequence[Tensor], measures: Measures) -> str:
    """Between the centroid of unit texts, before and after, and that of the unit pictures."""

    def distance(texts: Tensor) -> Callable[[Tensor], Tensor]:
        units = texts.double()
        return lambda weights: (weights @ units - subject.centre).norm(dim=1)

    before, after = map(distance, both)
    name, count = f"{what}_to_pictures", len(both[0])
    change = measures.compare_statistic(name, before, after, count, DISTANCE)
    return f"The distance of the centroids of {what} and pictures is {change}"


Found = Callable[[TextTower, Embed], list[Tensor]]
"""Recall of queries that an embedding of captions and texts makes, part by part, in per cent."""


def _concatenations(subject: Subject) -> Found | str:
    """What measures both concatenations: on the benchmark where its references have captions, on
    triplets otherwise; or why nothing does."""
    if why := _unlike_training(subject):
        return why
    captions = subject.benchmark.captions
    captioned = [
        replace(part, queries=queries)
        for part in subject.benchmark.parts
        if (queries := tuple(query for query in part.queries if query.reference in captions))
    ]
    if captioned and not (subject.lacks_composed() or subject.lacks_figures()):
        return lambda tower, embed: _in_benchmark(subject, captioned, tower, embed)
    if subject.triplets:
        return lambda tower, embed: _in_triplets(subject, tower, embed)
    return "its references have no captions, and no --triplets are given"


def _in_benchmark(
    subject: Subject, parts: list[Part], tower: TextTower, embed: Embed
) -> list[Tensor]:
    """The first metric, each reference's first caption in the place of its picture."""
    pictures, captions = pictures_of(subject.evaluation), subject.benchmark.captions
    outcomes = []
    for part in parts:
        shown = [captions[query.reference][0] for query in part.queries]
        wordings = zip(*(query.texts for query in part.queries), strict=True)
        each = [embed(tower, shown, texts) for texts in wordings]
        asked = F.normalize(torch.stack(each).mean(0), dim=-1)
        gallery = Gallery(part.gallery, pictures.embeddings(part.gallery))
        outcomes.append(part_outcomes(subject.benchmark, part, asked, gallery))
    return headline(outcomes)[1]


def _in_triplets(subject: Subject, tower: TextTower, embed: Embed) -> list[Tensor]:
    """Recall at 1 of each triplet's target caption among all of them, frozen."""
    texts = _texts(subject)
    gallery = list(dict.fromkeys(texts.targets))
    anchors = CaptionEmbedder(subject.evaluation).plain(subject.base, gallery)
    places = {caption: place for place, caption in enumerate(gallery)}
    wanted = torch.tensor([places[caption] for caption in texts.targets])
    scores = embed(tower, texts.references, texts.conditioning) @ anchors.T
    return [100 * (target_ranks(scores, wanted) < 1).double()]


def _refined_over_replaced(found: Found, subject: Subject, measures: Measures) -> str:
    embedder = CaptionEmbedder(subject.evaluation)
    kinds = {"refined": embedder.refined, "replaced": embedder.replaced}
    each = {
        kind: [found(tower, embed) for tower in (subject.base, subject.patched)]
        for kind, embed in kinds.items()
    }
    for kind, (before, after) in each.items():
        measures.compare(kind, before, after)
    over = less(each["refined"][1], each["replaced"][1])
    measures.add("refined_over_replaced_after", over, POINTS)
    return (
        "With the patched encoder refined concatenation is "
        f"{measures.change('refined_over_replaced_after')} against direct replacement"
    )


def _unlike_training(subject: Subject) -> str:
    """Why captions cannot take a reference's place as in training; empty where they can."""
    method = subject.evaluation.method
    return f"{method.name} trains as {method.reuses}" if method.stand_in == REUSE else ""


@dataclass(frozen=True)
class _Texts:
    """Columns of triplets, cleaned as for training."""

    references: list[str]
    conditioning: list[str]
    targets: list[str]


def _texts(subject: Subject) -> _Texts:
    tokenizer = subject.evaluation.method.tokenizer(subject.base)
    rows = subject.triplets[:TRIPLETS]
    return _Texts(
        [clean_caption(row.reference, tokenizer) for row in rows],
        [clean_conditioning(row.conditioning, tokenizer) for row in rows],
        [clean_caption(row.target, tokenizer) for row in rows],
    )
