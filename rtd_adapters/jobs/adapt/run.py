"""The three steps from captions to a patch, each taken once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtd_adapters.io.locks import claimed
from rtd_adapters.io.options_file import keep_options
from rtd_adapters.jobs.adapt.job import PATCH, PROJECTION, TRIPLETS, AdaptJob, check_request
from rtd_adapters.jobs.adapt.ledger import Ledger
from rtd_adapters.jobs.patch import run_patch
from rtd_adapters.jobs.projection import train_projection
from rtd_adapters.jobs.questions import Question
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.triplets.encoder import caption_encoder
from rtd_adapters.triplets.rules.run import rule_triplets
from rtd_adapters.triplets.work import Watch

Told = Mapping[str, Any]
"""What there is to say of a file; plain values."""


@dataclass(frozen=True)
class AdaptResult:
    """What `rtd adapt` prints."""

    folder: Path
    projection: Told
    """`figures` before and after on captions held out, `steps`, `learned_from` so many."""
    triplets: Told
    """How many `triplets` of how many `captions`, and reason to number of `dropped` ones."""
    patch: Told
    """`figures` before and after, as `rtd patch` takes them, and `steps`."""


def run_adapt(
    job: AdaptJob, say: Say = silent, watch: Watch = lambda rows, label: rows
) -> AdaptResult:
    """Learn a projection, make triplets, learn a patch; what is in the folder already is kept.

    Args:
        job: what to do.
        say: told in a line what happens next.
        watch: shows the progress of what makes triplets.

    Raises:
        RtdError: whatever is wrong with the request, an input or the disk; what was done by then
            is kept, and the same call goes on from it.
    """
    check_request(job)
    with claimed(job.out):
        ledger = Ledger.opened(job.out)
        keep_options(job.out, job.given)

        def settle(name: str, question: Question, take: Callable[[], Told]) -> Told:
            if ledger.is_made(name, question):
                say(f"{job.out / name} is there")
            else:
                ledger.note(name, take())
            return ledger.made[name]

        projection = settle(
            PROJECTION, job.projection_question(), lambda: _train_projection(job, say)
        )
        triplets = settle(
            TRIPLETS, job.triplets_question(), lambda: _make_triplets(job, say, watch)
        )
        # What decides the patch is known now: the files that it is learned with.
        patch = settle(PATCH, job.patch_question(), lambda: _train_patch(job, say))
        return AdaptResult(job.out, projection, triplets, patch)


def _train_projection(job: AdaptJob, say: Say) -> Told:
    result = train_projection(job.projection_job(), say)
    return {
        "figures": result.about["figures"],
        "steps": result.run.record.steps,
        "learned_from": result.run.things,
    }


def _make_triplets(job: AdaptJob, say: Say, watch: Watch) -> Told:
    say(f"making triplets of {job.captions}")
    counts = rule_triplets(
        job.captions,
        job.out / TRIPLETS,
        job.rules,
        column=job.column,
        kinds=job.kinds,
        embed=caption_encoder(job.backbone, job.pretrained),
        encoder=job.encoder,
        overwrite=True,
        watch=watch,
    )
    return {
        "triplets": counts.triplets,
        "captions": counts.captions,
        "dropped": dict(counts.dropped),
    }


def _train_patch(job: AdaptJob, say: Say) -> Told:
    result = run_patch(job.patch_job(), say)
    return {"figures": result.metadata.figures, "steps": result.record.steps}
