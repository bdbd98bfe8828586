"""What a kept piece was asked for, so that no other is taken for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.benchmark import Benchmark
from rtd_adapters.io.json_files import read_json
from rtd_adapters.jobs.reproduce.config import BenchmarkChoice
from rtd_adapters.jobs.reproduce.plan import PATCH, Run, projection_file
from rtd_adapters.methods.method import Method
from rtd_adapters.triplets.sources import source_identity

ASKED = "asked.json"
"""Beside each patch: what was asked for when it was begun."""
PROJECTION = "projection"
"""That queries are composed with; plain captions have none."""
TRAINED_WITH = "training projection"
ANNOTATIONS = "annotations"
Asked = dict[str, Any]


class Identities:
    """Says what is asked for, files by their hashes; each file is read once."""

    def __init__(self) -> None:
        self._files: dict[Path, str] = {}

    def of_run(self, run: Run) -> Asked:
        """Everything that decides a patch.

        Raises:
            FileError: a file cannot be read.
        """
        job = run.job(Path())
        _, trained = run.projections()
        return {
            "method": job.method,
            "method options": job.options_by_content(),
            "backbone": job.backbone,
            "weights": self._file(run.backbone.weights) or run.backbone.tag,
            TRAINED_WITH: self._projection(run, *trained),
            "triplets": self._file(run.triplets.file),
            "columns": job.columns,
            "kind": job.kind,
            "recipe": job.recipe,
            "settings": job.settings.to_dict(),
        }

    def of_search(self, run: Run, choice: BenchmarkChoice, benchmark: Benchmark) -> Asked:
        """Everything that decides a result, the patch aside.

        Raises:
            FileError: a file cannot be read.
        """
        own, _ = run.projections()
        return {
            PROJECTION: self._projection(run, *own) if benchmark.composes else None,
            "benchmark": choice.benchmark,
            "search": dict(choice.search),
            ANNOTATIONS: benchmark.annotations_sha256,
        }

    def _projection(self, run: Run, paths: Mapping[str, Path], method: Method) -> str | None:
        return self._file(projection_file(run.backbone, paths, method.name))

    def _file(self, path: Path | None) -> str | None:
        if path is None:
            return None
        if path not in self._files:
            self._files[path] = source_identity(path)
        return self._files[path]


def require_asked(folder: Path, asked: Asked) -> bool:
    """Check that what lies in a run's folder, if anything, was asked for in just this way.

    Returns:
        Whether it was begun before.

    Raises:
        FileError: it was another run, or none of ours.
    """
    file = folder / ASKED
    if not file.exists():
        if (folder / PATCH).exists():
            raise FileError(
                f"{folder / PATCH} is none that rtd reproduce wrote. Choose another --out."
            )
        return False
    require_same(folder, read_json(file), asked)
    return True


def require_same(place: Path, kept: Any, asked: Asked) -> None:
    """Refuse a kept piece that was asked for otherwise.

    Raises:
        FileError: it was; what differs is named.
    """
    old = kept if isinstance(kept, Mapping) else {}
    if other := [name for name, value in asked.items() if old.get(name, value is None) != value]:
        raise FileError(
            f"{place} was made with another {', '.join(other)} than the file asks for now. Choose "
            "another --out, or give what has changed another name in the file."
        )
