"""What is diagnosed: a benchmark, and the text towers before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from rtd_adapters.clip.text import TextTower
from rtd_adapters.evaluation.benchmark import Benchmark
from rtd_adapters.evaluation.features import pictures_of
from rtd_adapters.evaluation.inputs import Evaluation, patched_tower
from rtd_adapters.evaluation.measures import headline
from rtd_adapters.evaluation.outcomes import embed_part, search_parts
from rtd_adapters.evaluation.rows import Joined, in_blocks, lost_rows
from rtd_adapters.evaluation.search import Gallery
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.triplets import Triplet


@dataclass(frozen=True)
class Subject:
    """A benchmark, the two text towers that search it, and triplets, if there are any."""

    evaluation: Evaluation
    patch: TextEncoderPatch
    triplets: Sequence[Triplet] = ()

    @property
    def benchmark(self) -> Benchmark:
        """That is searched."""
        return self.evaluation.benchmark

    @property
    def base(self) -> TextTower:
        """The backbone's own tower."""
        return self.evaluation.backbone.tower

    @cached_property
    def patched(self) -> TextTower:
        """The tower with the patch in it, at the strength of the options."""
        return self.at(self.evaluation.options.strength)

    def at(self, strength: float) -> TextTower:
        """The tower between base and patched."""
        return patched_tower(self.evaluation.backbone, self.patch, strength)

    def search(
        self, tower: TextTower, benchmark: Benchmark | None = None
    ) -> tuple[str, list[Tensor]]:
        """The benchmark's first metric, and its values part by part, in per cent."""
        searched = replace(self.evaluation, benchmark=benchmark or self.benchmark)
        return headline(search_parts(searched, tower, "searching"))

    def queries(self, tower: TextTower) -> Tensor:
        """[Q, embed_dim] unit embeddings of the composed queries of all parts."""
        pictures, parts = pictures_of(self.evaluation), self.benchmark.parts
        each = [embed_part(self.evaluation, tower, part, pictures, "asking") for part in parts]
        return torch.cat(each)

    @cached_property
    def gallery(self) -> Gallery:
        """All pictures of all galleries, each once."""
        pictures = pictures_of(self.evaluation)
        lists = tuple(dict.fromkeys(part.gallery for part in self.benchmark.parts))
        if len(lists) == 1:
            return Gallery(lists[0], pictures.embeddings(lists[0]))
        every = (image for ids in lists for image in ids)
        picked = {image: place for place, image in enumerate(every)}
        sources = [pictures.embeddings(ids) for ids in lists]
        return Gallery(tuple(picked), Joined(sources, torch.tensor(list(picked.values()))))

    @cached_property
    def broken(self) -> frozenset[str]:
        """Pictures of the gallery that could not be read."""
        rows = lost_rows(self.gallery.embeddings)
        return frozenset(self.gallery.ids[row] for row in rows)

    @cached_property
    def centre(self) -> Tensor:
        """[embed_dim] the mean of the unit pictures that could be read, in fp64."""
        total, count = torch.zeros(self.evaluation.backbone.shape.embed_dim).double(), 0
        for _, block in in_blocks(self.gallery.embeddings):
            sound = block[~block.isnan().any(1)].double()
            total += F.normalize(sound, dim=-1).sum(0)
            count += len(sound)
        return total / count

    def lacks_figures(self) -> str:
        """Why there are no figures; empty where there are."""
        if self.benchmark.hidden:
            return f"the right answers of this split are with the server of {self.benchmark.name}"
        return ""

    def lacks_composed(self) -> str:
        """Why there are no composed queries with conditioning texts; empty where there are."""
        queries = [query for part in self.benchmark.parts for query in part.queries]
        if any(query.bare for query in queries):
            return f"{self.benchmark.name} asks with words of its own, without conditioning texts"
        if not all(query.reference for query in queries):
            return f"{self.benchmark.name} asks with plain captions, without reference pictures"
        return ""
