"""Makes triplets by a language model, and never pays for an answer twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rtd_adapters.errors import TripletError
from rtd_adapters.triplets.llm.answers import PROMPT
from rtd_adapters.triplets.llm.asking import Ask, ask_all
from rtd_adapters.triplets.llm.batch_run import BatchRun
from rtd_adapters.triplets.llm.batches import Batches
from rtd_adapters.triplets.llm.counts import LlmCounts, count, listed
from rtd_adapters.triplets.llm.ledger import Ledger
from rtd_adapters.triplets.llm.talk import Faults, Talk, questions
from rtd_adapters.triplets.records import Triplet
from rtd_adapters.triplets.seen import Seen
from rtd_adapters.triplets.sources import read_captions, source_identity, write_triplets
from rtd_adapters.triplets.work import Watch, work_folder

Captions = Iterable[tuple[int, str]]
"""Numbers and captions that are not done."""
Way = Callable[[Captions, Talk, Path], None]
"""Answers captions, with a folder to keep things in."""


def llm_triplets(
    source: str | Path,
    out: Path,
    ask: Ask,
    *,
    identity: Mapping[str, Any],
    prompt: str = PROMPT,
    column: str | None = None,
    concurrency: int = 1,
    faults: Faults | None = None,
    overwrite: bool = False,
    watch: Watch = lambda rows, label: rows,
) -> LlmCounts:
    """Write the triplets that a model makes of a source's captions to `out`, in their order.

    Every answer is on disk before the next caption is asked for; a run that breaks off leaves
    OUT.work, from which the same call goes on.

    Args:
        source: captions, as `read_captions` takes them; empty and repeated ones are left out.
        out: JSON lines in the official format.
        ask: the model.
        identity: what tells this model, its settings and the check from others; holds no key.
        prompt: has `{caption}` where the caption goes.
        column: name of the caption column.
        concurrency: requests under way at once.
        faults: checks triplets. After an answer that it rejects, or that cannot be read, the
            model is told what was wrong and asked once more; the second answer is dropped if it is
            no better. None takes every triplet that can be read, and asks once.
        overwrite: replace `out`.
        watch: shows progress.

    Raises:
        TripletError: captions cannot be read, the server is gone, or no answer was usable.
        UsageError: the server refuses the request.
        FileError: a file cannot be read or written, or an unfinished run is in the way.
    """

    def way(captions: Captions, talk: Talk, folder: Path) -> None:
        ask_all(watch(captions, "captions"), talk, ask, concurrency)

    return _made(source, column, out, way, prompt, identity, faults, overwrite=overwrite)


def batch_triplets(
    source: str | Path,
    out: Path,
    batches: Batches,
    *,
    identity: Mapping[str, Any],
    prompt: str = PROMPT,
    column: str | None = None,
    faults: Faults | None = None,
    overwrite: bool = False,
    watch: Watch = lambda rows, label: rows,
    say: Callable[[str], None] = lambda line: None,
) -> LlmCounts:
    """As `llm_triplets`, by batches of a server, which may take a day and cost less.

    What was submitted is on disk at once; a run that breaks off goes on waiting for the same
    batches when it is called again, and submits nothing twice. A request that fails in a batch
    goes into one more, as do second questions.

    Args:
        batches: the server's.
        say: told of each batch, in a line.

    Raises:
        TripletError: captions cannot be read, the server is gone, a batch was cancelled or holds
            no answer, or no answer was usable.
        UsageError: the server refuses a request or a batch.
        FileError: a file cannot be read or written, or an unfinished run is in the way.
    """

    def way(captions: Captions, talk: Talk, folder: Path) -> None:
        BatchRun(batches, talk, dict(captions), folder, watch, say).run()

    identity = {**identity, "batch": True}
    return _made(source, column, out, way, prompt, identity, faults, overwrite=overwrite)


def _made(
    source: str | Path,
    column: str | None,
    out: Path,
    way: Way,
    prompt: str,
    identity: Mapping[str, Any],
    faults: Faults | None,
    *,
    overwrite: bool,
) -> LlmCounts:
    most = questions(faults)
    job = {"source": source_identity(source), "column": column, "prompt": prompt, **identity}
    with work_folder(out, {**job, "questions": most}, overwrite=overwrite) as folder:
        with Ledger.opened(folder, most) as ledger:
            captions = enumerate(_distinct(read_captions(source, column)))
            todo = ((number, text) for number, text in captions if not ledger.is_done(number))
            way(todo, Talk(ledger, prompt, faults), folder)
            counts = count(ledger.rows())
            if not counts.triplets:
                why = listed(counts.dropped) or "no captions"
                raise TripletError(f"No answer was usable: {why}.")
            made = {row["number"]: row["triplet"] for row in ledger.rows() if row["kind"] == "made"}
        write_triplets(out, (Triplet(*made[number]) for number in sorted(made)))
    return counts


def _distinct(captions: Iterator[str]) -> Iterator[str]:
    seen = Seen()
    for caption in captions:
        if caption and seen.is_new(caption.lower()):
            yield caption
