"""A benchmark searched by the base encoder and by the patched one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from rtd_adapters.clip.backbones import DEFAULT
from rtd_adapters.clip.text import TextTower
from rtd_adapters.evaluation.extraction import extract
from rtd_adapters.evaluation.figures import Searched, make_result
from rtd_adapters.evaluation.inputs import (
    EvalOptions,
    Evaluation,
    patched_tower,
    prepare,
    require_patch,
)
from rtd_adapters.evaluation.outcomes import search_parts, search_ways
from rtd_adapters.evaluation.queries import COMPOSED, Way
from rtd_adapters.evaluation.result import BASE, PATCHED, Outcome, Result
from rtd_adapters.evaluation.rivals import PDV, RIVALS, Rival
from rtd_adapters.evaluation.submissions import write_submissions
from rtd_adapters.patch import TextEncoderPatch


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
    method_options: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """Search a benchmark with the base encoder and, if there is a patch, with the patched one.

    Several processes that torchrun started embed the pictures together; each then searches.

    Args:
        method: name of an installed method.
        benchmark: name of an installed benchmark.
        patch: a patch or its file.
        data: the folder in which the benchmark was unpacked.
        split: `val`, or `test` where a server keeps the answers; then there are no figures.
        backbone: as in `rtd patch`.
        pretrained: likewise.
        projection: likewise. Plain captions need none, and one that is given is not opened then.
        options: how.
        method_options: chosen options of the method, by name.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    require_patch(options or EvalOptions(), given=patch is not None)
    evaluation = prepare(
        method=method,
        benchmark=benchmark,
        data=data,
        split=split,
        backbone=backbone,
        pretrained=pretrained,
        projection=projection,
        options=options,
        method_options=method_options,
    )
    loaded = TextEncoderPatch.load(patch) if isinstance(patch, (str, Path)) else patch
    return compare(extract(evaluation), loaded)


def compare(evaluation: Evaluation, patch: TextEncoderPatch | None) -> Result:
    """Base against patched on what was prepared, and the further columns of its options.

    Raises:
        UsageError: there are further strengths and no patch.
        PatchError: the patch was made for another text tower.
        RtdError: as `search_ways`.
    """
    backbone, options = evaluation.backbone, evaluation.options
    require_patch(options, given=patch is not None)
    tower = patched_tower(backbone, patch, options.strength) if patch else None
    rivals = {rival.name: rival for rival in RIVALS} if options.rivals else {}
    base, others = _search(evaluation, backbone.tower, BASE, rivals)
    patched = None
    if patch and tower:
        again = {f"{PDV.name} on {PATCHED}": PDV} if options.rivals else {}
        patched, further = _search(evaluation, tower, PATCHED, again)
        others |= further | _strengths(evaluation, patch)
    return make_result(evaluation, base, patched, patch, others)


def _search(
    evaluation: Evaluation, tower: TextTower, name: str, rivals: Mapping[str, Rival]
) -> tuple[list[list[Outcome]], dict[str, Searched]]:
    """The composed queries' outcomes by a tower, and those of rivals that it makes, by column."""
    ways: list[Way] = [COMPOSED, *rivals.values()]
    own, *found = search_ways(evaluation, tower, f"searching, {name}", ways)
    columns = zip(rivals.items(), found, strict=True)
    return own, {column: Searched(rival.about, parts) for (column, rival), parts in columns}


def _strengths(evaluation: Evaluation, patch: TextEncoderPatch) -> dict[str, Searched]:
    """The queries' outcomes by what lies between base and patch, by column."""
    found = {}
    for strength in evaluation.options.also_strengths:
        name = f"strength {strength:g}"
        tower = patched_tower(evaluation.backbone, patch, strength)
        about = f"the patch at strength {strength:g}, between base (0) and patched (1)"
        found[name] = Searched(about, search_parts(evaluation, tower, f"searching, {name}"))
    return found


def submit(evaluation: Evaluation, patch: TextEncoderPatch | None, folder: Path) -> list[Path]:
    """Write what the benchmark's test server takes; returns the files.

    Raises:
        UsageError: the benchmark has no server.
        PatchError, EvaluationError, FileError: as `compare` and `write_submissions`.
    """
    backbone, strength = evaluation.backbone, evaluation.options.strength
    (part,) = evaluation.benchmark.parts
    tower = patched_tower(backbone, patch, strength) if patch else backbone.tower
    (outcomes,) = search_parts(evaluation, tower, "searching")
    return write_submissions(evaluation.benchmark.name, part.queries, outcomes, folder)
