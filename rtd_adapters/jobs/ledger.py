"""What a sweep's folder holds, and of which question: how a killed sweep knows what it has done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rtd_adapters.io.entries import Entry
from rtd_adapters.io.json_files import read_json, write_json
from rtd_adapters.jobs.calibration import PictureFolder
from rtd_adapters.jobs.evaluate import EvalJob
from rtd_adapters.jobs.inputs import PatchJob
from rtd_adapters.jobs.judges import SweepFigures, Values
from rtd_adapters.jobs.questions import settled_question
from rtd_adapters.triplets.sources import source_identity

NAME = "sweep.json"
REMEDY = "Remove it with the patches beside it, or choose another --out."


def request_of(job: PatchJob) -> dict[str, Any]:
    """All that decides what a patch is; files by their sha256."""
    calibration = PictureFolder.found(job.calibrate).record() if job.calibrate else None
    return {
        "method": job.method,
        "method options": job.options_by_content(),
        "calibration": calibration,
        "backbone": content_of(job.backbone),
        "pretrained": content_of(job.pretrained),
        "projection": content_of(job.projection),
        "triplets": content_of(job.triplets),
        "columns": job.columns,
        "kind": job.kind,
        "lora": asdict(job.lora),
        **job.settings.to_dict(),
    }


def search_of(job: EvalJob) -> dict[str, Any]:
    """All that decides, beside the patch, what a search finds."""
    options = job.options
    return {
        "benchmark": job.benchmark,
        "data": str(job.data.resolve()) if job.data else None,
        "preprocess": options.preprocess,
        "precision": options.precision,
        "skip_broken": options.skip_broken,
    }


def content_of(source: str | Path | None) -> str | None:
    """What tells a source from another, as `source_identity` has it; None without one."""
    return None if source is None else source_identity(source)


@dataclass
class Ledger:
    """The file in which a sweep notes what it asks before it begins, and what it found."""

    path: Path
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What -> its question: of patches, all that decides them; of figures, that and the search."""
    found: dict[str, SweepFigures] = field(default_factory=dict)
    """Name of a value -> its figures."""

    @classmethod
    def opened(cls, folder: Path) -> Ledger:
        """That of a folder; an empty one where there is none yet.

        Raises:
            FileError: what is there is no sweep's.
        """
        path = folder / NAME
        if not path.exists():
            return cls(path)
        read = Entry(str(path), read_json(path), REMEDY)
        asked, found = read.entry("asked"), read.entry("found")
        return cls(
            path,
            {name: dict(asked.entry(name).value) for name in asked},
            {name: _figures(found.entry(name)) for name in found},
        )

    def begin(self, what: str, question: Mapping[str, Any], verb: str) -> None:
        """Note a question before its answer is looked for.

        Args:
            what: file of a patch, or name of a value.
            question: all that decides the answer.
            verb: learned or measured, for the message.

        Raises:
            FileError: another question was asked under that name, or the disk refuses.
        """
        before = self.asked.get(what)
        settled = settled_question(before, question, what, self.path.parent, verb)
        if before is None:
            self.asked[what] = settled
            self._save()

    def note(self, name: str, figures: SweepFigures) -> None:
        """Keep a value's figures.

        Raises:
            FileError: the disk refuses.
        """
        self.found[name] = figures
        self._save()

    def _save(self) -> None:
        # In the order asked, whichever was found first.
        found = {name: asdict(self.found[name]) for name in self.asked if name in self.found}
        write_json(self.path, {"asked": self.asked, "found": found})


def _figures(read: Entry) -> SweepFigures:
    intervals, queries = read.entry("intervals"), read.entry("queries")
    return SweepFigures(
        _metrics(read.entry("before")),
        _metrics(read.entry("after")),
        {name: tuple(intervals.numbers(name)) for name in intervals},
        {side: _parts(queries.entry(side)) for side in queries},
    )


def _metrics(read: Entry) -> dict[str, float]:
    return {name: read.number(name) for name in read}


def _parts(read: Entry) -> Values:
    return {name: read.numbers(name) for name in read}
