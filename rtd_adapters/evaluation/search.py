"""Query embeddings against a gallery: scores, and rankings made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from rtd_adapters.errors import EvaluationError, UsageError
from rtd_adapters.evaluation.benchmark import DEPTH, EvalQuery
from rtd_adapters.evaluation.blocks import OUT, Question, search_blocks
from rtd_adapters.evaluation.rows import Rows


def search_gallery(
    queries: Tensor, gallery: Tensor, ids: Sequence[str], depth: int = 10
) -> tuple[list[list[str]], Tensor]:
    """The best pictures of a gallery for each query, in the order in which `evaluate` ranks them.

    Args:
        queries: [Q, embed_dim] unit embeddings, as `embed_composed` gives them.
        gallery: [N, embed_dim] of the pictures, normalised or not, as `embed_pictures` gives them.
            It is searched in blocks, so that it may be mapped from a file larger than memory (by
            `numpy.memmap` with mode "r": Linux refuses maps of that size that can be written to).
        ids: N names of the pictures.
        depth: how many are wanted; no more come than there are.

    Returns:
        Q lists of K ids, best first, ties by place in the gallery, and their scores [Q, K], cosine
        similarities; K is the lesser of `depth` and N.

    Raises:
        UsageError: there are not as many ids as pictures.
    """
    if len(ids) != len(gallery):
        raise UsageError(f"{len(gallery)} pictures and {len(ids)} ids. Pass one id for each.")
    found = search_blocks(queries, gallery, [Question()] * len(queries), min(depth, len(ids)))
    return [[ids[place] for place in row] for row in found.places.tolist()], found.scores


@dataclass(frozen=True)
class Gallery:
    """Pictures that queries are scored against."""

    ids: Sequence[str]
    embeddings: Rows
    """[N, embed_dim] of them, normalised or not."""

    @cached_property
    def places(self) -> dict[str, int]:
        """Id -> row."""
        return {image: row for row, image in enumerate(self.ids)}


def rankings(
    embeddings: Tensor, gallery: Gallery, queries: Sequence[EvalQuery], depth: int = DEPTH
) -> Iterator[CountedRanking]:
    """Each query's ranking of a gallery.

    Args:
        embeddings: [Q, embed_dim] of the queries, units.
        gallery: what they search.
        queries: say who is out, and whose ranks are counted.
        depth: how many of the first places are kept.
    """
    named = [tuple(dict.fromkeys((*query.targets, *query.group))) for query in queries]
    counted = [[image for image in ids if image in gallery.places] for ids in named]
    questions = [
        Question(
            wanted=[gallery.places[image] for image in ids],
            excluded=[gallery.places[image] for image in query.excluded if image in gallery.places],
            candidates=[gallery.places[image] for image in query.candidates],
        )
        for query, ids, _ in zip(queries, counted, embeddings, strict=True)
    ]
    found = search_blocks(embeddings, gallery.embeddings, questions, min(depth, len(gallery.ids)))
    inside = (found.scores > OUT).sum(1).tolist()
    rows = zip(found.places.tolist(), inside, counted, found.ranks.tolist(), strict=True)
    for places, most, ids, ranks in rows:
        first = [gallery.ids[place] for place in places[:most]]
        yield CountedRanking(first, depth, dict(zip(ids, ranks, strict=False)), gallery)


@dataclass(frozen=True)
class CountedRanking:
    """One query's ranking: its first places, and where its own pictures stand.

    Ties are broken by place in the gallery, as a stable sort breaks them.
    """

    first: Sequence[str]
    """Ids of the first places, fewer than `depth` where fewer are in the ranking."""
    depth: int
    counted: Mapping[str, int]
    """Rank of the query's targets and of its group, 1 for the top."""
    gallery: Gallery

    def top(self, depth: int) -> list[str]:
        """The first `depth` ids.

        Raises:
            EvaluationError: no search kept as many.
        """
        if depth > self.depth:
            raise EvaluationError(
                f"the score asks for the first {depth} places, and {self.depth} were kept. Set "
                f"depth={depth} in its Benchmark."
            )
        return list(self.first[:depth])

    def ranks(self, ids: Sequence[str]) -> list[int]:
        """Ranks of those of the ids that are in the gallery, 1 for the top, the best first.

        Raises:
            EvaluationError: one is no target of the query and not of its group.
        """
        return sorted(self.counted[image] for image in self._known(ids))

    def among(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are in the gallery, best first; raises as `ranks`."""
        return sorted(self._known(ids), key=self.counted.__getitem__)

    def rank(self, ids: Sequence[str]) -> int | None:
        """1 for the top; the best of the ids, None if none is in the gallery. Raises as `ranks`."""
        return min(self.ranks(ids), default=None)

    def _known(self, ids: Sequence[str]) -> list[str]:
        known = [image for image in ids if image in self.gallery.places]
        if uncounted := [image for image in known if image not in self.counted]:
            raise EvaluationError(
                f"the score asks where {uncounted[0]!a} stands, which is no target of its query. "
                "Name it in the `targets` or the `group` of its EvalQuery."
            )
        return known
