"""metrics.jsonl: one line of figures for each step of a run."""

from __future__ import annotations

import json
from pathlib import Path

from rtd_adapters.errors import FileError


class MetricsFile:
    """Appends to the run folder's metrics.jsonl."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.jsonl"

    def append(self, step: int, metrics: dict[str, float]) -> None:
        """Add a step's line.

        Raises:
            FileError: the disk refuses.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **metrics}) + "\n")
        except OSError as error:
            raise FileError(
                f"{self.path} cannot be written: {error.strerror}. Free some space, then --resume."
            ) from error

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that will be run again."""
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            self.path.write_text("".join(f"{line}\n" for line in lines[:step]), encoding="utf-8")
