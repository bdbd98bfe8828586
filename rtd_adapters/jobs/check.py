"""`rtd triplets check`, end to end: triplets measured and judged, a report and a clean copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtd_adapters.clip.text import CLIP_BPE
from rtd_adapters.errors import UsageError
from rtd_adapters.io.atomic import require_writable, whole_file
from rtd_adapters.io.locks import claimed
from rtd_adapters.triplets import write_triplets
from rtd_adapters.triplets.checking.corpus import Corpus
from rtd_adapters.triplets.checking.quality import CONTEXT_LENGTH, Measures, clean_triplets, measure
from rtd_adapters.triplets.checking.quality_report import as_html
from rtd_adapters.triplets.checking.sense import Sense
from rtd_adapters.triplets.checking.verdict import Verdict, judge
from rtd_adapters.triplets.columns import Columns, parse_columns
from rtd_adapters.triplets.encoder import caption_encoder
from rtd_adapters.triplets.formats import STDIN
from rtd_adapters.triplets.language.kinds import read_kinds
from rtd_adapters.triplets.work import Watch


@dataclass(frozen=True)
class CheckJob:
    """One `rtd triplets check`: what is read, how it is measured, what is written."""

    source: str
    """As `read_triplets` takes it."""
    columns: str | None = None
    """Names of its columns, as in `reference=src,conditioning=edit,target=dst`."""
    backbone: str | None = None
    """What similarities are measured with, and lengths judged by; without it, no similarities, and
    lengths by CLIP's 77 tokens."""
    pretrained: str | None = None
    kinds: Path | None = None
    """Words by kind that are added to the built-in list."""
    html: Path | None = None
    """Report."""
    fix: Path | None = None
    """Clean copy."""
    drop_faults: bool = False
    """Leave triplets that make no sense out of it."""
    seed: int = 0
    """Draws the sample."""
    overwrite: bool = False


@dataclass(frozen=True)
class CheckResult:
    """What `rtd triplets check` prints."""

    measures: Measures
    verdict: Verdict
    kept: int
    """Triplets in the clean copy."""


def run_check(job: CheckJob, watch: Watch = lambda rows, label: rows) -> CheckResult:
    """Measure and judge triplets, and write what the job asks for.

    Raises:
        UsageError: options contradict each other, or columns do not read.
        RtdError: the source or the disk; bad rows are counted, not refused.
    """
    if job.fix and job.source == STDIN:
        raise UsageError("--fix reads FILE a second time, which standard input cannot be.")
    if job.drop_faults and not job.fix:
        raise UsageError("--drop-faults says what --fix leaves out; pass --fix FILE too.")
    columns = parse_columns(job.columns) if job.columns else None
    outputs = [path for path in (job.html, job.fix) if path]
    with claimed(*outputs):
        for path in outputs:
            require_writable(path, overwrite=job.overwrite)
        return _check(job, columns, watch)


def _check(job: CheckJob, columns: Columns | None, watch: Watch) -> CheckResult:
    encoder = caption_encoder(job.backbone, job.pretrained)
    corpus = Corpus(read_kinds(job.kinds), seed=job.seed)
    measures = measure(
        job.source,
        columns=columns,
        embed=encoder,
        context_length=encoder.context_length if encoder else CONTEXT_LENGTH,
        vocabulary=encoder.vocabulary if encoder else CLIP_BPE,
        seed=job.seed,
        corpus=corpus,
        watch=watch,
    )
    verdict = judge(measures)
    if job.html:
        with whole_file(job.html) as temporary:
            page = as_html(measures, verdict)
            temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    kept = 0
    if job.fix:
        faults = Sense(corpus).faults if job.drop_faults else lambda triplet: []
        kept = write_triplets(job.fix, clean_triplets(job.source, columns, watch, faults))
    return CheckResult(measures, verdict, kept)
