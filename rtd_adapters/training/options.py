"""How a run is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtd_adapters.errors import UsageError, require_number
from rtd_adapters.training.callbacks import Callback


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out. Nothing here changes what it computes."""

    folder: Path | None = None
    """Where checkpoints and metrics.jsonl go; None keeps nothing."""
    resume: bool = False
    """Go on from the folder's newest checkpoint."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 writes none by steps."""
    checkpoint_minutes: float = 0.0
    """Minutes between checkpoints; 0 writes none by time."""
    validate_every: int = 0
    """Steps between validations; 0 validates never."""
    validate_on: int | None = None
    """Held-out things that figures are taken on, before, during and after; 0 takes none. By default
    as many as cost a twentieth of the run (`allowance`)."""
    select: str | None = None
    """Keep the tower that was best on this validation metric instead of the last one."""
    tracker: str | None = None
    """An accelerate tracker, such as tensorboard."""
    anchor_cache: bool = False
    """Keep anchors on disk, for later epochs and runs with the same frozen tower."""
    prefetch: int | None = None
    """Processes that prepare batches ahead; 0 leaves it to this one. By default one is started as
    soon as it pays (`compute.ahead`)."""
    quiet: bool = False
    """No progress bar."""
    device: str | None = None
    """cpu, cuda, ...; accelerate's choice by default."""
    callbacks: tuple[Callback, ...] = ()
    """Are told what happens, in this order."""

    def __post_init__(self) -> None:
        require_number("--checkpoint-every", self.checkpoint_every, least=0)
        if self.prefetch is not None:
            require_number("--prefetch", self.prefetch, least=0)
        require_number("--checkpoint-minutes", self.checkpoint_minutes, least=0)
        require_number("--validate-every", self.validate_every, least=0)
        if self.validate_on is not None:
            require_number("--validate-on", self.validate_on, least=0)
        if self.select and self.validate_on == 0:
            raise UsageError("--select needs figures, and --validate-on 0 takes none.")
