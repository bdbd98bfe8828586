"""What Context-I2W's scripts load: the same checkpoint as Pic2Word's, on which they are built."""

from __future__ import annotations

from collections.abc import Callable

from rtd_adapters import Exporter, hookimpl

from ..pic2word.export import USE, write_resume


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Add Context-I2W's scripts."""
    register(Exporter("context_i2w", USE, write_resume, strengths=True))
