"""`rtd eval`, end to end: a benchmark searched, and the figures or the submission written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rtd_adapters.clip.backbones import DEFAULT
from rtd_adapters.compute.processes import launched
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.benchmark import load_benchmark
from rtd_adapters.evaluation.evaluate import EvalOptions, Evaluation, compare, prepare, submit
from rtd_adapters.evaluation.extraction import extract, left_out_note
from rtd_adapters.evaluation.inputs import require_partners, require_patch
from rtd_adapters.evaluation.report.strips import choose, keep_pictures, pictures_of
from rtd_adapters.evaluation.result import Result
from rtd_adapters.evaluation.ways import CAPTIONS, Ways, require_asks, three_ways
from rtd_adapters.io.atomic import require_writable, whole_file
from rtd_adapters.io.locks import claimed
from rtd_adapters.io.options_file import keep_options, require_own_options
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.methods.scale import foreign_scale_note
from rtd_adapters.patch import TextEncoderPatch

RESULT = "result.json"
SUBMISSIONS = ("recall.json", "recall_subset.json", "circo.json")


@dataclass(frozen=True)
class EvalJob:
    """One `rtd eval`: what is searched with what, and what is written."""

    method: str
    benchmark: str = DEFAULT
    data: Path | None = None
    """The folder in which the benchmark was unpacked."""
    patch: Path | None = None
    """What the base encoder is compared with."""
    backbone: str = DEFAULT
    pretrained: str | None = None
    projection: Path | None = None
    """Opened where queries are composed."""
    method_options: Mapping[str, str] = field(default_factory=dict)
    """Chosen options of the method, by name."""
    options: EvalOptions = field(default_factory=EvalOptions)
    out: Path | None = None
    """Folder of the result and of the pictures that a report shows, or of the submission."""
    csv_file: Path | None = None
    """Table of the figures."""
    given: str = ""
    """The command's options as YAML, for the folder."""
    overwrite: bool = False


def run_eval(job: EvalJob, say: Say = silent) -> Result | None:
    """Search the validation split with the base encoder and with the patched one.

    Several processes embed the pictures together; the first one does the rest.

    Args:
        job: what to do.
        say: told in a line what its user should know.

    Returns:
        The figures; None in all processes but the first.

    Raises:
        FileError: an output is in the way; nothing has been searched then.
        RtdError: an input is missing, damaged, or does not fit another.
    """
    with claimed(*_places(job)):
        result = _evaluate(job, say)
        if result and job.csv_file:
            _write_csv(job.csv_file, result.records())
        return result


def run_ways(job: EvalJob, captions: str, data: Path | None, say: Say = silent) -> Ways | None:
    """Search composed queries and plain captions, and show a product's ways to do both.

    Arguments and errors as in `run_eval`.

    Args:
        job: of composed queries, with a patch. Rivals are theirs alone.
        captions: a benchmark of plain captions; its result goes into `captions` in the job's
            folder.
        data: the folder in which that was unpacked.
        say: told in a line what its user should know.

    Raises:
        UsageError: there is no patch, or a benchmark asks the other kind of questions.
    """
    if job.patch is None:
        raise UsageError("--captions-benchmark shows ways to search with a patch. Pass --patch.")
    folder = job.out / CAPTIONS if job.out else None
    how = replace(job.options, rivals=False)
    plain = replace(
        job, benchmark=captions, data=data, out=folder, options=how, csv_file=None, given=""
    )
    for one in (job, plain):
        require_partners(one.benchmark, one.backbone)
        require_asks(load_benchmark(one.benchmark, one.data), plain=one is plain)
    with claimed(*_places(job)):
        _require_writable(plain, (RESULT,))
        results = [_evaluate(one, say) for one in (job, plain)]
        if results[0] is None or results[1] is None:
            return None
        ways = three_ways(results[0], results[1])
        if job.csv_file:
            _write_csv(job.csv_file, ways.records())
        return ways


def _evaluate(job: EvalJob, say: Say) -> Result | None:
    _require_writable(job, (RESULT,))
    require_patch(job.options, given=job.patch is not None)
    patch = _patch(job)
    evaluation = load_evaluation(job, "val", say)
    if not launched().is_main:
        return None
    result = compare(evaluation, patch)
    if job.method_options:
        chosen = {"method_options": dict(job.method_options)}
        result = replace(result, settings=result.settings | chosen)
    if job.out:
        keep_pictures(evaluation.benchmark, pictures_of(choose(result)), job.out)
        result.save(job.out / RESULT)
        keep_options(job.out, job.given)
    return result


def run_submission(job: EvalJob, say: Say = silent) -> list[Path]:
    """Search the test split with the patched encoder, or the base one where there is no patch, and
    write what the benchmark's server takes; returns the files. Of several processes, the first one
    writes.

    Raises:
        UsageError: no folder was named, columns are asked for, or the benchmark has no server.
        FileError: an output is in the way; nothing has been searched then.
        RtdError: an input is missing, damaged, or does not fit another.
    """
    if job.out is None:
        raise UsageError("--split test writes a submission; name its folder with --out.")
    if job.options.rivals or job.options.also_strengths:
        raise UsageError(
            "--rivals and --also-strength are columns of figures, and a submission has none. Leave "
            "them out, or pass --split val."
        )
    with claimed(*_places(job)):
        _require_writable(job, SUBMISSIONS)
        patch = _patch(job)
        evaluation = load_evaluation(job, "test", say)
        if not launched().is_main:
            return []
        keep_options(job.out, job.given)
        return submit(evaluation, patch, job.out)


def _places(job: EvalJob) -> Iterable[Path]:
    """What this process writes: of several, the first one writes for all."""
    if not launched().is_main:
        return ()
    return filter(None, (job.out, job.csv_file))


def _require_writable(job: EvalJob, names: Iterable[str]) -> None:
    files = [job.out / name for name in names] if job.out else []
    for path in filter(None, (job.csv_file, *files)):
        require_writable(path, overwrite=job.overwrite)
    if job.out:
        require_own_options(job.out)


def _patch(job: EvalJob) -> TextEncoderPatch | None:
    return TextEncoderPatch.load(job.patch) if job.patch else None


def load_evaluation(job: EvalJob, split: str, say: Say, *, composes: bool = False) -> Evaluation:
    """What a job evaluates, loaded and checked, its pictures embedded by all processes.

    Args:
        job: says what and how.
        split: of the benchmark.
        say: told in a line what its user should know.
        composes: as in `prepare`.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    evaluation = prepare(
        method=job.method,
        benchmark=job.benchmark,
        data=job.data,
        split=split,
        backbone=job.backbone,
        pretrained=job.pretrained,
        projection=job.projection,
        options=job.options,
        method_options=job.method_options,
        composes=composes,
    )
    if job.projection and (note := _projection_note(job.projection, evaluation)):
        say(note)
    evaluation = extract(evaluation)
    if note := left_out_note(evaluation.benchmark):
        say(note)
    return evaluation


def _projection_note(path: Path, evaluation: Evaluation) -> str | None:
    """What to say of a projection that is given."""
    if evaluation.projection is None:
        return (
            f"note: {evaluation.benchmark.name} asks plain captions, which are embedded without a "
            "projection. --projection is not opened."
        )
    return foreign_scale_note(path, evaluation.method, evaluation.projection, evaluation.backbone)


def _write_csv(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    with whole_file(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
