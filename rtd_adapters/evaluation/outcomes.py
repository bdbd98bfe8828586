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
from rtd_adapters.evaluation.queries import QueryEmbedder
from rtd_adapters.evaluation.result import Outcome
from rtd_adapters.evaluation.search import CountedRanking, Gallery, rankings

KEPT = 50
"""Places of a ranking that an outcome keeps."""


def search_parts(evaluation: Evaluation, tower: TextTower, title: str) -> list[list[Outcome]]:
    """Every query's outcome, part by part.

    Args:
        evaluation: what is searched.
        tower: base or patched.
        title: of the progress bar.

    Raises:
        FileError: a picture is missing or damaged.
        EvaluationError, TripletError: the method cannot ask a query.
    """
    pictures = pictures_of(evaluation)
    return [
        _search_part(evaluation, tower, part, pictures, title)
        for part in evaluation.benchmark.parts
    ]


def _search_part(
    evaluation: Evaluation, tower: TextTower, part: Part, pictures: Pictures, title: str
) -> list[Outcome]:
    asked = embed_part(evaluation, tower, part, pictures, title)
    return part_outcomes(evaluation.benchmark, part, asked, pictures)


def embed_part(
    evaluation: Evaluation, tower: TextTower, part: Part, pictures: Pictures, title: str
) -> Tensor:
    """[Q, embed_dim] unit embeddings of a part's queries, on the CPU. Raises as `search_parts`."""
    embedder = QueryEmbedder(evaluation.method, evaluation.projection, evaluation.benchmark.name)
    batches = _batches(evaluation, part, pictures, title)
    return torch.cat([embedder.embed(tower, *batch).cpu() for batch in batches])


def part_outcomes(
    benchmark: Benchmark, part: Part, asked: Tensor, pictures: Pictures
) -> list[Outcome]:
    """Outcomes of a part's queries, whoever embedded them.

    Args:
        benchmark: scores them.
        part: what is searched.
        asked: [Q, embed_dim] unit embeddings of its queries.
        pictures: of the benchmark.
    """
    gallery = Gallery(part.gallery, pictures.embeddings(part.gallery))
    ranked = rankings(asked, gallery, part.queries, max(KEPT, benchmark.depth))
    return [_outcome(benchmark, *pair) for pair in zip(part.queries, ranked, strict=True)]


def _batches(
    evaluation: Evaluation, part: Part, pictures: Pictures, title: str
) -> Iterator[tuple[Sequence[EvalQuery], Tensor, Tensor | None]]:
    """Queries with their references' embeddings, and with states where the method reads them."""
    size, quiet = evaluation.options.batch_size, evaluation.options.quiet
    references = part.references
    rows = {image: row for row, image in enumerate(references)}
    embeddings = None if evaluation.method.needs_states else pictures.embeddings(references)
    for start in tqdm(range(0, len(part.queries), size), desc=title, disable=quiet or None):
        queries = part.queries[start : start + size]
        own = [query.reference for query in queries]
        if embeddings is None:
            images = pictures.states(own)
            yield queries, images.embedding, images.tokens
        else:
            yield queries, embeddings[[rows[image] for image in own]], None


def _outcome(benchmark: Benchmark, query: EvalQuery, ranking: CountedRanking) -> Outcome:
    values = {} if benchmark.hidden else benchmark.score(query, ranking)
    rank = ranking.rank(query.targets)
    return Outcome(values, rank, ranking.top(KEPT), ranking.among(query.group))
