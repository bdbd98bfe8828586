"""What can be registered by name, and what each kind of it must have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TEXT = "a conditioning text"


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
    fault: Callable[[Any], str | None] = lambda thing: None
    """What else is wrong with one, in a sentence."""

    def require_whole(self, thing: object) -> None:
        """Check that something is of this kind.

        Raises:
            TypeError: it is not; what it lacks is named.
            ValueError: it is, but it cannot work; a sentence says why.
        """
        if any(not callable(getattr(thing, name, None)) for name in self.calls):
            raise TypeError(f"register() takes a {self.noun.capitalize()} object, not {thing!r}")
        missing = [name for name in self.texts if not isinstance(getattr(thing, name, None), str)]
        if missing:
            raise TypeError(f"{type(thing).__name__} does not set {', '.join(missing)}")
        if sentence := self.fault(thing):
            raise ValueError(sentence)


def _prompt_fault(method: Any) -> str | None:
    """Why a method's prompts would train and search something else than composed queries."""
    sign, prompt = method.placeholder, method.composed_prompt
    try:
        takes_text = TEXT in prompt.format(text=TEXT)
    except (LookupError, ValueError) as error:
        return f"composed_prompt {prompt!r} does not take a text ({error!r}); write it as {{text}}."
    if not takes_text:
        return (
            f"composed_prompt {prompt!r} has no {{text}}: the conditioning text would be left out "
            "of every query."
        )
    prompts = {"composed_prompt": prompt, "bare_prompt": method.bare_prompt}
    lacking = [name for name, text in prompts.items() if sign not in text]
    if lacking and method.needs_projection:
        name = lacking[0]
        return (
            f"{name} {prompts[name]!r} has no placeholder {sign!r}: the reference would be left "
            "out of every query. A method without pseudo tokens says needs_projection = False."
        )
    return None


METHOD = Kind(
    "method",
    "register_methods",
    ("name", "summary", "reference_url", "layout", "placeholder", "composed_prompt", "bare_prompt"),
    ("composed", "bare", "build_projection", "load_projection"),
    _prompt_fault,
)
BACKBONE = Kind("backbone", "register_backbones", ("name", "summary"), ("load", "shape"))
BENCHMARK = Kind("benchmark", "register_benchmarks", ("name", "summary"), ("load",))
EXPORTER = Kind("exporter", "register_exporters", ("name", "use"), ("write",))
KINDS = (METHOD, BACKBONE, BENCHMARK, EXPORTER)
