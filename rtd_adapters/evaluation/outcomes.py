"""The search over a benchmark's parts by one text tower: every query's outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor
from tqdm import tqdm

from rtd_adapters.clip.text import TextTower
from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part
from rtd_adapters.evaluation.features import Pictures
from rtd_adapters.evaluation.inputs import Evaluation
from rtd_adapters.evaluation.queries import QueryEmbedder
from rtd_adapters.evaluation.result import Outcome
from rtd_adapters.evaluation.search import Gallery, ScoredRanking, rankings
from rtd_adapters.io.cache import cache_root

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
    pictures = _pictures(evaluation)
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
    outcomes: list[Outcome] = []
    for queries, embedding, states in _batches(evaluation, part, pictures, title):
        ranked = rankings(embedder.embed(tower, queries, embedding, states), gallery, queries)
        outcomes += [_outcome(benchmark, *pair) for pair in zip(queries, ranked, strict=True)]
    return outcomes


def _batches(
    evaluation: Evaluation, part: Part, pictures: Pictures, title: str
) -> Iterator[tuple[Sequence[EvalQuery], Tensor | None, Tensor | None]]:
    """Queries with their references' embeddings, and with states where the method reads them.

    Plain captions have neither.
    """
    size, quiet = evaluation.options.batch_size, evaluation.options.quiet
    references = list(dict.fromkeys(q.reference for q in part.queries if q.reference))
    rows = {image: row for row, image in enumerate(references)}
    embeddings = None if evaluation.method.needs_states else pictures.embeddings(references)
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


def _outcome(benchmark: Benchmark, query: EvalQuery, ranking: ScoredRanking) -> Outcome:
    values = {} if benchmark.hidden else benchmark.score(query, ranking)
    rank = ranking.rank(query.targets)
    return Outcome(values, rank, ranking.top(KEPT), ranking.among(query.group))


def _pictures(evaluation: Evaluation) -> Pictures:
    options = evaluation.options
    return Pictures(
        evaluation.backbone,
        evaluation.benchmark,
        options.preprocess,
        options.batch_size,
        cache_root() / "pictures" if options.cache else None,
        options.quiet,
    )
