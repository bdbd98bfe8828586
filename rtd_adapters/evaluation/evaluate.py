"""A benchmark searched by the base encoder and by the patched one."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rtd_adapters.clip.backbones import DEFAULT, Backbone, load_backbone
from rtd_adapters.clip.text import TextTower
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part, load_benchmark
from rtd_adapters.evaluation.bootstrap import interval
from rtd_adapters.evaluation.features import Pictures
from rtd_adapters.evaluation.result import Outcome, QueryRecord, Result
from rtd_adapters.evaluation.search import ScoredRanking, Searcher, rankings
from rtd_adapters.hooks.registry import get_benchmark, get_method, registry
from rtd_adapters.io.cache import cache_root
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.projections import load_projection
from rtd_adapters.patch import TextEncoderPatch

SHOWN, KEPT = 10, 50
PREPROCESSING = ("clip", "targetpad")
LIBRARIES = ("rtd-adapters", "torch", "open_clip_torch", "transformers", "pillow")


@dataclass(frozen=True)
class EvalOptions:
    """How an evaluation is carried out."""

    preprocess: str = "clip"
    """Pictures as the backbone's own transform wants them, or padded first (`targetpad`, SEARLE's
    default)."""
    strength: float = 1.0
    """Of the patch: 0 is the base encoder, 1 the patched one."""
    batch_size: int = 64
    cache: bool = True
    """Keep picture embeddings on disk."""
    quiet: bool = False


@dataclass(frozen=True)
class Evaluation:
    """A method on a benchmark, ready to be searched with any text tower."""

    method: Method
    benchmark: Benchmark
    backbone: Backbone
    searcher: Searcher
    options: EvalOptions

    def search(self, tower: TextTower, title: str) -> list[list[Outcome]]:
        """Every query's outcome, part by part."""
        pictures = self._pictures()
        return [self._search_part(tower, part, pictures, title) for part in self.benchmark.parts]

    def _search_part(
        self, tower: TextTower, part: Part, pictures: Pictures, title: str
    ) -> list[Outcome]:
        gallery = pictures.embeddings(part.gallery)
        references = list(dict.fromkeys(query.reference for query in part.queries))
        shown = None if self.method.needs_states else pictures.embeddings(references)
        place = {image: row for row, image in enumerate(references)}
        found: list[Outcome] = []
        size = self.options.batch_size
        for start in tqdm(
            range(0, len(part.queries), size), desc=title, disable=self.options.quiet or None
        ):
            queries = part.queries[start : start + size]
            own = [query.reference for query in queries]
            if shown is None:
                images = pictures.states(own)
                embeddings = self.searcher.embed(tower, queries, images.embedding, images.tokens)
            else:
                rows = shown[[place[image] for image in own]]
                embeddings = self.searcher.embed(tower, queries, rows)
            ranked = rankings(embeddings, gallery, part.gallery, queries)
            found += [self._outcome(*pair) for pair in zip(queries, ranked, strict=True)]
        return found

    def _outcome(self, query: EvalQuery, ranking: ScoredRanking) -> Outcome:
        values = {} if self.benchmark.hidden else self.benchmark.score(query, ranking)
        rank = ranking.rank(query.targets)
        return Outcome(values, rank, ranking.top(KEPT), ranking.among(query.group))

    def _pictures(self) -> Pictures:
        folder = cache_root() / "pictures" if self.options.cache else None
        return Pictures(
            self.backbone,
            self.benchmark,
            self.options.preprocess,
            self.options.batch_size,
            folder,
            self.options.quiet,
        )


def evaluate(
    method: str,
    benchmark: str = DEFAULT,
    patch: str | Path | TextEncoderPatch | None = None,
    *,
    data: Path | None = None,
    split: str = "val",
    backbone: str = DEFAULT,
    pretrained: str | None = None,
    projection: Path | None = None,
    options: EvalOptions | None = None,
) -> Result:
    """Search a benchmark with the base encoder and, if there is a patch, with the patched one.

    Args:
        method: name of an installed method.
        benchmark: name of an installed benchmark.
        patch: a patch or its file.
        data: the folder in which the benchmark was unpacked.
        split: `val`, or `test` where a server keeps the answers; then there are no figures.
        backbone, pretrained, projection: as in `rtd patch`.
        options: how.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    evaluation = prepare(
        method, benchmark, data, split, backbone, pretrained, projection, options or EvalOptions()
    )
    loaded = TextEncoderPatch.load(patch) if isinstance(patch, (str, Path)) else patch
    return compare(evaluation, loaded)


def compare(evaluation: Evaluation, patch: TextEncoderPatch | None) -> Result:
    """Base against patched on what was prepared.

    Raises:
        PatchError: the patch was made for another text tower.
    """
    tower = patched_tower(evaluation.backbone, patch, evaluation.options) if patch else None
    base = evaluation.search(evaluation.backbone.tower, "searching, base")
    patched = evaluation.search(tower, "searching, patched") if tower else None
    return _result(evaluation, base, patched, patch)


def prepare(
    method: str,
    benchmark: str,
    data: Path | None,
    split: str,
    backbone: str,
    pretrained: str | None,
    projection: Path | None,
    options: EvalOptions,
    method_options: Mapping[str, str] = MappingProxyType({}),
) -> Evaluation:
    """Load method, with its options, benchmark, backbone and projection, cheapest checks first.

    Raises:
        RtdError: as `evaluate`.
    """
    chosen = get_method(method).configured(method_options)
    if options.preprocess not in PREPROCESSING:
        raise UsageError(
            f"Unknown preprocessing {options.preprocess!r}. Use one of {', '.join(PREPROCESSING)}."
        )
    _require_partners(benchmark, backbone)
    loaded = load_benchmark(benchmark, data, split)
    clip = load_backbone(backbone, pretrained)
    module, _ = load_projection(chosen, clip, projection)
    return Evaluation(chosen, loaded, clip, Searcher(chosen, module), options)


def _require_partners(benchmark: str, backbone: str) -> None:
    """Refuse pictures that a backbone knows nothing of.

    Raises:
        UsageError: the benchmark's pictures are another backbone's own, or the other way round.
    """
    sources = registry().benchmarks.values()
    owners = {source.backbone for source in sources if source.backbone}
    bound = get_benchmark(benchmark).backbone
    if bound != (backbone if backbone in owners else None):
        raise UsageError(
            f"the benchmark {benchmark} and the backbone {backbone} do not go together: the "
            "built-in world's CLIP knows no photographs, and no other knows its pictures. Pass "
            "both --benchmark and --backbone."
        )


def patched_tower(
    backbone: Backbone, patch: TextEncoderPatch, options: EvalOptions | None = None
) -> TextTower:
    """The backbone's text tower with a patch in it.

    Raises:
        PatchError: the patch was made for another.
    """
    strength = (options or EvalOptions()).strength
    base = backbone.tower.state_dict()
    patch.require_fit(base)
    return patch.build_tower(base, strength).to(backbone.tower.device)


def _result(
    evaluation: Evaluation,
    base: list[list[Outcome]],
    patched: list[list[Outcome]] | None,
    patch: TextEncoderPatch | None,
) -> Result:
    benchmark = evaluation.benchmark
    before = _scores(benchmark, base)
    after = _scores(benchmark, patched) if patched else None
    intervals = {}
    if after:
        for name, parts in before.items():
            pairs = zip(after[name], parts, strict=True)
            low, high = interval([new - old for new, old in pairs])
            intervals[name] = (100 * low, 100 * high)
    return Result(
        evaluation.method.name,
        benchmark.name,
        benchmark.split,
        _figures(before),
        _figures(after) if after else None,
        intervals,
        _queries(benchmark, base, patched),
        _settings(evaluation, patch),
    )


def _scores(benchmark: Benchmark, found: list[list[Outcome]]) -> dict[str, list[Tensor]]:
    """Metric -> for each part, [queries] values; several parts have their own metrics besides."""
    if benchmark.hidden:
        return {}
    parts: list[dict[str, Tensor]] = []
    for outcomes in found:
        values = [outcome.values for outcome in outcomes]
        parts.append({name: torch.tensor([v[name] for v in values]) for name in values[0]})
    whole = {name: [part[name] for part in parts] for name in parts[0]}
    if len(parts) == 1:
        return whole
    own = {
        f"{part.name} {name}": [values]
        for part, scores in zip(benchmark.parts, parts, strict=True)
        for name, values in scores.items()
    }
    return {**own, **{f"average {name}": values for name, values in whole.items()}}


def _figures(scores: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
    return {
        name: 100 * sum(part.double().mean().item() for part in parts) / len(parts)
        for name, parts in scores.items()
    }


def _queries(
    benchmark: Benchmark,
    base: list[list[Outcome]],
    patched: list[list[Outcome]] | None,
) -> list[QueryRecord]:
    return [
        _record(part, query, old, new)
        for part, olds, news in zip(benchmark.parts, base, patched or base, strict=True)
        for query, old, new in zip(part.queries, olds, news, strict=True)
    ]


def _record(part: Part, query: EvalQuery, old: Outcome, new: Outcome) -> QueryRecord:
    return QueryRecord(
        query.id,
        part.name,
        query.reference,
        query.texts[0],
        list(query.targets),
        query.category,
        old.rank,
        new.rank,
        old.top[:SHOWN],
        new.top[:SHOWN],
    )


def _settings(evaluation: Evaluation, patch: TextEncoderPatch | None) -> dict[str, Any]:
    benchmark, options = evaluation.benchmark, evaluation.options
    about = patch.metadata if patch else None
    return {
        "prompt": evaluation.method.composed_prompt,
        "backbone": evaluation.backbone.label,
        "preprocessing": options.preprocess,
        "patch": f"{about.kind} for {about.method}" if about else None,
        "patch_sha256": about.fingerprint.get("fp32") if about else None,
        "strength": options.strength if about else None,
        "gallery": {part.name or "all": len(part.gallery) for part in benchmark.parts},
        "queries": {part.name or "all": len(part.queries) for part in benchmark.parts},
        **benchmark.settings,
        "versions": {name: version(name) for name in LIBRARIES},
        "python": platform.python_version(),
    }


def submit(
    evaluation: Evaluation, patch: TextEncoderPatch | None, folder: Path | None
) -> list[Path]:
    """Write what the benchmark's test server takes; returns the files.

    Raises:
        UsageError: no folder was named, or the benchmark has no server.
        PatchError, EvaluationError, FileError: as `compare` and `write_submissions`.
    """
    from rtd_adapters.evaluation.submissions import write_submissions

    if folder is None:
        raise UsageError("--split test writes a submission; name its folder with --out.")
    backbone, benchmark = evaluation.backbone, evaluation.benchmark
    tower = patched_tower(backbone, patch, evaluation.options) if patch else backbone.tower
    (outcomes,) = evaluation.search(tower, "searching")
    return write_submissions(benchmark.name, benchmark.parts[0].queries, outcomes, folder)
