"""What can be registered by name, and what each kind of it must have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Things of one kind, registered through one hook."""

    noun: str
    """For messages: "Unknown method ..."."""
    hook: str
    texts: tuple[str, ...]
    """Attributes that must be set, each a text."""
    calls: tuple[str, ...]
    """What must be callable."""

    def require_whole(self, thing: object) -> None:
        """Check that something is of this kind.

        Raises:
            TypeError: it is not; what it lacks is named.
        """
        if any(not callable(getattr(thing, name, None)) for name in self.calls):
            raise TypeError(f"register() takes a {self.noun.capitalize()} object, not {thing!r}")
        missing = [name for name in self.texts if not isinstance(getattr(thing, name, None), str)]
        if missing:
            raise TypeError(f"{type(thing).__name__} does not set {', '.join(missing)}")


METHOD = Kind(
    "method",
    "register_methods",
    ("name", "summary", "reference_url", "layout"),
    ("composed", "bare", "build_projection", "load_projection"),
)
BACKBONE = Kind("backbone", "register_backbones", ("name", "summary"), ("load", "shape"))
BENCHMARK = Kind("benchmark", "register_benchmarks", ("name", "summary"), ("load",))
EXPORTER = Kind("exporter", "register_exporters", ("name", "use"), ("write",))
KINDS = (METHOD, BACKBONE, BENCHMARK, EXPORTER)
