"""Files for the test servers of CIRR and CIRCO, in their exact formats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtd_adapters.errors import EvaluationError, UsageError
from rtd_adapters.io.atomic import whole_file

if TYPE_CHECKING:
    from rtd_adapters.evaluation.benchmark import EvalQuery
    from rtd_adapters.evaluation.result import Outcome

DEPTH = 50
SUBSET_DEPTH = 3


def write_submissions(
    benchmark: str, queries: Sequence[EvalQuery], outcomes: Sequence[Outcome], folder: Path
) -> list[Path]:
    """Write what the benchmark's server takes, checked; returns the files.

    CIRR: `recall.json` and `recall_subset.json`, {"version": "rc2", "metric": ..., pair id: names}.
    CIRCO: `circo.json`, {query id: 50 picture ids}.

    Raises:
        UsageError: the benchmark has no server.
        EvaluationError: a query has too few ranked pictures.
        FileError: the disk refuses.
    """
    if benchmark not in ("cirr", "circo"):
        raise UsageError(f"{benchmark} has no test server; submissions are for cirr and circo.")
    asked = list(zip(queries, outcomes, strict=True))
    top = {query.id: outcome.top[:DEPTH] for query, outcome in asked}
    files: dict[str, dict[str, Any]]
    if benchmark == "circo":
        files = {"circo.json": {key: [int(image) for image in ids] for key, ids in top.items()}}
        require_valid(files["circo.json"], queries, DEPTH)
    else:
        subset = {query.id: outcome.group[:SUBSET_DEPTH] for query, outcome in asked}
        files = {
            "recall.json": {"version": "rc2", "metric": "recall", **top},
            "recall_subset.json": {"version": "rc2", "metric": "recall_subset", **subset},
        }
        require_valid(files["recall.json"], queries, DEPTH)
        require_valid(files["recall_subset.json"], queries, SUBSET_DEPTH)
    written = []
    for name, content in files.items():
        with whole_file(folder / name) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
        written.append(folder / name)
    return written


def require_valid(content: Mapping[str, Any], queries: Sequence[EvalQuery], depth: int) -> None:
    """Check a submission: every query once, and as many different pictures as the server wants.

    Raises:
        EvaluationError: it is not so; the first query is named.
    """
    ranked = {key: value for key, value in content.items() if key not in ("version", "metric")}
    missing = [query.id for query in queries if query.id not in ranked]
    if missing or len(ranked) != len(queries):
        lacking = f"; missing: {', '.join(missing[:3])}" if missing else ""
        raise EvaluationError(
            f"the submission has {len(ranked)} queries and the split {len(queries)}{lacking}. "
            "Evaluate the whole split."
        )
    for key, ids in ranked.items():
        if len(ids) != depth or len(set(ids)) != depth:
            raise EvaluationError(
                f"query {key} ranks {len(set(ids))} different pictures, the server wants {depth}. "
                "Check that the split's whole index is there."
            )
