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
    benchmark = evaluation.benchmark
    embedder = QueryEmbedder(evaluation.method, evaluation.projection, benchmark.name)
    gallery = Gallery(part.gallery, pictures.embeddings(part.gallery))
    batches = _batches(evaluation, part, pictures, title)
    asked = torch.cat([embedder.embed(tower, *batch).cpu() for batch in batches])
    ranked = rankings(asked, gallery, part.queries, max(KEPT, benchmark.depth))
    return [_outcome(benchmark, *pair) for pair in zip(part.queries, ranked, strict=True)]


def _batches(
    evaluation: Evaluation, part: Part, pictures: Pictures, title: str
) -> Iterator[tuple[Sequence[EvalQuery], Tensor | None, Tensor | None]]:
    """Queries with their references' embeddings, and with states where the method reads them.

    Plain captions have neither.
    """
    size, quiet = evaluation.options.batch_size, evaluation.options.quiet
    references = part.references
    rows = {image: row for row, image in enumerate(references)}
    one_vector = references and not evaluation.method.needs_states
    embeddings = pictures.embeddings(references) if one_vector else None
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
