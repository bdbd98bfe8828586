"""The search over a benchmark's parts by one text tower: every query's outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from rtd_adapters.clip.text import TextTower
from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part
from rtd_adapters.evaluation.features import Pictures, pictures_of
from rtd_adapters.evaluation.inputs import Evaluation
from rtd_adapters.evaluation.queries import (
    COMPOSED,
    QueryEmbedder,
    Way,
    averaged,
    embed_plain,
)
from rtd_adapters.evaluation.result import Outcome
from rtd_adapters.evaluation.search import CountedRanking, Gallery, rankings

KEPT = 50
"""Places of a ranking that an outcome keeps."""
Batch = tuple[Sequence[EvalQuery], Tensor | None, Tensor | None]
"""Queries, and the embeddings and states of their references."""


def search_parts(evaluation: Evaluation, tower: TextTower, title: str) -> list[list[Outcome]]:
    """Every composed query's outcome, part by part; arguments and errors as in `search_ways`."""
    (outcomes,) = search_ways(evaluation, tower, title, [COMPOSED])
    return outcomes


@torch.no_grad()
def search_ways(
    evaluation: Evaluation, tower: TextTower, title: str, ways: Sequence[Way]
) -> list[list[list[Outcome]]]:
    """For each way to make queries, every query's outcome, part by part.

    Args:
        evaluation: what is searched.
        tower: base or patched; it embeds the texts.
        title: of the progress bar.
        ways: each is a search of its own; what they share is embedded once.

    Raises:
        FileError: a picture is missing or damaged.
        EvaluationError, TripletError: the method cannot ask a query.
    """
    pictures = pictures_of(evaluation)
    parts: list[list[list[Outcome]]] = []
    for part in evaluation.benchmark.parts:
        gallery = Gallery(part.gallery, pictures.embeddings(part.gallery))
        embedded = _embedded(evaluation, tower, part, pictures, title, ways)
        parts.append([part_outcomes(evaluation.benchmark, part, a, gallery) for a in embedded])
    return [list(outcomes) for outcomes in zip(*parts, strict=True)]


def embed_part(
    evaluation: Evaluation, tower: TextTower, part: Part, pictures: Pictures, title: str
) -> Tensor:
    """[Q, embed_dim] unit embeddings of a part's queries, on the CPU; errors as `search_ways`."""
    (asked,) = _embedded(evaluation, tower, part, pictures, title, [COMPOSED])
    return asked


def part_outcomes(
    benchmark: Benchmark, part: Part, asked: Tensor, gallery: Gallery
) -> list[Outcome]:
    """Outcomes of a part's queries, whoever embedded them.

    Args:
        benchmark: scores them.
        part: what is searched.
        asked: [Q, embed_dim] unit embeddings of its queries.
        gallery: the part's.
    """
    ranked = rankings(asked, gallery, part.queries, max(KEPT, benchmark.depth))
    return [_outcome(benchmark, *pair) for pair in zip(part.queries, ranked, strict=True)]


@torch.no_grad()
def _embedded(
    evaluation: Evaluation,
    tower: TextTower,
    part: Part,
    pictures: Pictures,
    title: str,
    ways: Sequence[Way],
) -> list[Tensor]:
    """[Q, embed_dim] unit embeddings of a part's queries for each way, on the CPU."""
    asked: list[list[Tensor]] = [[] for _ in ways]
    for batch in _batches(evaluation, part, pictures, title):
        for embeddings, found in zip(asked, _asked(evaluation, tower, batch, ways), strict=True):
            embeddings.append(found.cpu())
    return [torch.cat(embeddings) for embeddings in asked]


def _asked(
    evaluation: Evaluation, tower: TextTower, batch: Batch, ways: Sequence[Way]
) -> list[Tensor]:
    """[B, embed_dim] of a batch for each way; plain captions are asked in one way alone."""
    queries, embedding, states = batch
    if embedding is None:
        return [embed_plain(tower, evaluation.method.tokenizer(tower), queries)]
    embedder = QueryEmbedder(
        evaluation.method, evaluation.composing_projection(), evaluation.benchmark.name
    )
    orders = embedder.sides(tower, queries, embedding, states)
    return [averaged(orders, way) for way in ways]


def _batches(evaluation: Evaluation, part: Part, pictures: Pictures, title: str) -> Iterator[Batch]:
    """Queries with their references' embeddings, and with states where the method reads them.

    Plain captions have neither.
    """
    size, quiet = evaluation.options.batch_size, evaluation.options.quiet
    references = part.references
    rows = {image: row for row, image in enumerate(references)}
    reads_states = evaluation.method.needs_states or not references
    embeddings = None if reads_states else pictures.embeddings(references)
    for start in tqdm(range(0, len(part.queries), size), desc=title, disable=quiet or None):
        queries = part.queries[start : start + size]
        own = [query.reference for query in queries]
        if not references:
            yield queries, None, None
        elif embeddings is None:
            images = pictures.states(own)
            yield queries, images.embedding, images.tokens
        else:
            yield queries, embeddings[[rows[image] for image in own]], None


def _outcome(benchmark: Benchmark, query: EvalQuery, ranking: CountedRanking) -> Outcome:
    values = {} if benchmark.hidden else benchmark.score(query, ranking)
    rank = ranking.rank(query.targets)
    return Outcome(values, rank, ranking.top(KEPT), ranking.among(query.group))
