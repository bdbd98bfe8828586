"""`rtd diagnose`, end to end: a patch beside its base, and the questions asked of both."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rtd_adapters.clip.backbones import DEFAULT, load_backbone
from rtd_adapters.compute.processes import launched
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.diagnosis import DIAGNOSTICS, BeforeAfter
from rtd_adapters.evaluation.questions import QUESTIONS
from rtd_adapters.evaluation.result import Diagnosis
from rtd_adapters.evaluation.subject import Subject
from rtd_adapters.jobs.evaluate import EvalJob, load_evaluation
from rtd_adapters.jobs.provided import provisions
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.projections import load_projection
from rtd_adapters.patch import TextEncoderPatch
from rtd_adapters.triplets import read_triplets


def diagnose(
    method: str, patch: Path, questions: Iterable[str] = (), backbone: str = DEFAULT
) -> list[Diagnosis]:
    """Ask what a patch changed, in the world that its backbone brings.

    Args:
        method: name of an installed method.
        patch: its file.
        questions: names in `DIAGNOSTICS`; all of them by default.
        backbone: one that brings a world of its own.

    Raises:
        PatchError: the patch was made for another text tower.
        UsageError: there is no such question, or the backbone brings no world.
        RtdError: an input is missing, damaged, or does not fit another.
    """
    asked = _asked(questions)
    pair = _before_after(method, patch, backbone)
    return [DIAGNOSTICS[name](pair) for name in asked]


def diagnose_benchmark(
    job: EvalJob,
    questions: Iterable[str] = (),
    *,
    split: str = "val",
    triplets: str | Path | None = None,
    say: Say = silent,
) -> list[Diagnosis] | None:
    """Ask what a patch changed, on a benchmark, loaded and embedded as `run_eval` does.

    Several processes embed the pictures together; the first one does the rest.

    Args:
        job: what is searched, with a patch; what it writes is not written.
        questions: names in `QUESTIONS`; all of them by default.
        split: of the benchmark.
        triplets: texts for what the benchmark has no captions for. Queries are composed of them, so
            they need the projection even where the benchmark asks plain captions.
        say: told in a line what its user should know.

    Returns:
        An answer for each question, which says so where the benchmark lacks what it needs; None in
        all processes but the first.

    Raises:
        PatchError: the patch was made for another text tower.
        UsageError: there is no such question, or no patch was named.
        RtdError: an input is missing, damaged, or does not fit another.
    """
    asked = _asked(questions)
    if job.patch is None:
        raise UsageError("a diagnosis needs --patch: what is asked about.")
    patch = TextEncoderPatch.load(job.patch)
    texts = read_triplets(triplets) if triplets else ()
    evaluation = load_evaluation(job, split, say, composes=bool(texts))
    if not launched().is_main:
        return None
    subject = Subject(evaluation, patch, texts)
    return [QUESTIONS[name](subject) for name in asked]


def _asked(questions: Iterable[str]) -> list[str]:
    asked = list(questions) or list(DIAGNOSTICS)
    if unknown := [name for name in asked if name not in DIAGNOSTICS]:
        raise UsageError(f"Unknown question {unknown[0]!r}. Ask {', '.join(DIAGNOSTICS)}.")
    return asked


def _before_after(name: str, file: Path, backbone: str) -> BeforeAfter:
    loaded, method = TextEncoderPatch.load(file), get_method(name)
    clip = load_backbone(backbone)
    loaded.require_fit(clip.tower.state_dict(), clip.tower.config)
    projection, _ = load_projection(method, clip, None)
    brought = provisions(backbone)
    if brought is None:
        raise UsageError(f"{backbone} brings no pictures with captions to diagnose a patch on.")
    world = brought.world(method, projection, clip)
    return BeforeAfter(world, clip.tower, loaded.build_tower())
