"""All pictures of a benchmark embedded, before anything is searched."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from rtd_adapters.compute.acceleration import accelerator_on
from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import EvaluationError
from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part
from rtd_adapters.evaluation.features import pictures_of
from rtd_adapters.evaluation.inputs import Evaluation

LEFT_OUT = "left_out"
"""Name, among a benchmark's settings, of what broken pictures cost."""
NAMED = 5
"""Pictures that are named there."""


def extract(evaluation: Evaluation) -> Evaluation:
    """Embed a benchmark's pictures on the device of the options, by all processes of the run.

    Returns:
        What is left to search, on its device: all of it, unless broken pictures are left out.

    Raises:
        UsageError: this machine has no such device.
        FileError: a picture is missing or damaged, or the disk refuses.
        EvaluationError: an embedding is not finite, memory does not do, or nothing is left.
        TrainingError: the processes did not come together, or another one has ended.
    """
    pictures = pictures_of(evaluation)
    broken: dict[str, None] = {}
    with accelerator_on(evaluation.options.device) as accelerator:
        processes = Processes(accelerator.process_index, accelerator.num_processes)
        evaluation.to(accelerator.device)
        for ids in dict.fromkeys(_lists(evaluation)):
            lost = pictures.extract(ids, processes)
            broken.update(dict.fromkeys(ids[place] for place in lost))
    if not broken:
        return evaluation
    return replace(evaluation, benchmark=without(evaluation.benchmark, broken))


def without(benchmark: Benchmark, broken: Collection[str]) -> Benchmark:
    """A benchmark that asks for no broken picture.

    Galleries keep their places, but every query excludes what is broken. A query goes whose
    reference is broken, or every right answer. What was left out is among the settings.

    Raises:
        EvaluationError: a part has no query left.
    """
    parts = tuple(_without(part, broken) for part in benchmark.parts)
    before, after = (sum(len(part.queries) for part in p) for p in (benchmark.parts, parts))
    about = {"pictures": len(broken), "queries": before - after, "first": list(broken)[:NAMED]}
    return replace(benchmark, parts=parts, settings={**benchmark.settings, LEFT_OUT: about})


def left_out_note(benchmark: Benchmark) -> str | None:
    """A line on what broken pictures cost; None where they cost nothing."""
    about = benchmark.settings.get(LEFT_OUT)
    if about is None:
        return None
    more = ", ..." if about["pictures"] > NAMED else ""
    return (
        f"left out: {about['pictures']} pictures that cannot be read "
        f"({', '.join(about['first'])}{more}), and {about['queries']} queries with them"
    )


def _lists(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """The lists of pictures whose embeddings a search asks for."""
    for part in evaluation.benchmark.parts:
        yield part.gallery
        # A method that reads states embeds references itself, but not before they are sound.
        wanted = evaluation.options.skip_broken or not evaluation.method.needs_states
        if wanted and part.references:
            yield part.references


def _without(part: Part, broken: Collection[str]) -> Part:
    lost = tuple(image for image in part.gallery if image in broken)
    queries = tuple(
        _excluding(query, lost) for query in part.queries if _is_answerable(query, broken)
    )
    if not queries:
        where = f" of {part.name}" if part.name else ""
        raise EvaluationError(
            f"without the pictures that cannot be read no query{where} is left. Unpack them again."
        )
    return replace(part, queries=queries)


def _is_answerable(query: EvalQuery, broken: Collection[str]) -> bool:
    answers = not query.targets or any(image not in broken for image in query.targets)
    return query.reference not in broken and answers


def _excluding(query: EvalQuery, lost: tuple[str, ...]) -> EvalQuery:
    return replace(
        query,
        targets=tuple(image for image in query.targets if image not in lost),
        group=tuple(image for image in query.group if image not in lost),
        excluded=(*query.excluded, *lost),
    )
