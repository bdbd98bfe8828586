"""Hands patched text encoders to a script at the places where it loads its CLIP.

Hooks on import wrap the functions through which the known repositories do so: OpenAI's `clip.load`
(SEARLE, FTI4CIR), the copy of it in `model/clip.py` (Pic2Word, Context-I2W, KEDs) and transformers'
`CLIPTextModelWithProjection.from_pretrained` (LinCIR, RTD). What they return is turned to fp32 and
patched before the script sees it, and patched again whenever the script loads other weights into
it, as `--resume` does.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from torch import nn

from rtd_adapters.errors import PatchError, RtdError
from rtd_adapters.launcher.import_hooks import after_import
from rtd_adapters.patch import TextEncoderPatch

LOADERS = {
    "clip.clip": "clip.load",
    "model.clip": "model.clip.load",
    "transformers.models.clip.modeling_clip": "CLIPTextModelWithProjection.from_pretrained",
}
"""Module -> what is watched in it."""
LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
PACKAGE = str(Path(__file__).parents[1])


@dataclass
class Injection:
    """Patches what a script loads, and remembers where."""

    patch: TextEncoderPatch
    say: Callable[[str], None]
    strength: float = 1.0
    force: bool = False
    places: list[str] = field(default_factory=list)
    """Where the patch went in."""
    over: bool = False
    """Whether the script has ended: what is loaded then is nobody's to patch."""
    failure: RtdError | None = None
    """What a place refused the patch for. Scripts may swallow it, as Pic2Word's evaluation does."""

    def watch(self) -> None:
        """Wait for the known loaders to be imported."""
        for module, loader in LOADERS.items():
            wrap = _wrap_from_pretrained if module.startswith("transformers") else _wrap_load
            after_import(module, functools.partial(wrap, injection=self, name=loader))

    def hand_over(self, loaded: Any, loader: str) -> Any:
        """Patch what a loader returned, a model or a tuple that starts with one.

        Raises:
            PatchError: the patch was not made for it.
        """
        if self.over:
            return loaded
        model: nn.Module = loaded[0] if isinstance(loaded, tuple) else loaded
        model.float()
        self._apply(model, loader)
        model.register_load_state_dict_post_hook(
            lambda module, keys: self._apply(module, "load_state_dict")
        )
        return loaded

    def require_done(self) -> None:
        """Fail unless the patch went in, everywhere and at least once.

        Raises:
            PatchError: it did not; what was watched is named.
        """
        if self.failure:
            raise self.failure
        if not self.places:
            raise PatchError(
                "the script ended and the patch never went in: what it printed is unpatched. "
                f"Watched were {', '.join(LOADERS.values())}. If it loads its CLIP in another way, "
                "call rtd_adapters.apply(model, ...) after that line."
            )

    def _apply(self, model: nn.Module, loader: str) -> None:
        if self.over:
            return
        place = f"{_caller()} {loader}"
        # A patch goes onto a model once; the script may load into the same model again.
        fresh = TextEncoderPatch(self.patch.state(), self.patch.metadata)
        try:
            fresh.apply(model, self.strength, force=self.force)
        except RtdError as error:
            self.failure = type(error)(f"{place}: {error}")
            raise self.failure from error
        self.places.append(place)
        self.say(f"patched: {place}")


def _wrap_load(module: ModuleType, injection: Injection, name: str) -> None:
    """OpenAI's loader or a copy of it."""
    load = getattr(module, "load", None)
    if load is None:
        return

    @functools.wraps(load)
    def watched(*arguments: Any, **options: Any) -> Any:
        return injection.hand_over(load(*arguments, **options), name)

    vars(module)["load"] = watched


def _wrap_from_pretrained(module: ModuleType, injection: Injection, name: str) -> None:
    tower = module.CLIPTextModelWithProjection
    load = tower.from_pretrained.__func__

    @functools.wraps(load)
    def watched(cls: type, *arguments: Any, **options: Any) -> Any:
        return injection.hand_over(load(cls, *arguments, **options), name)

    tower.from_pretrained = classmethod(watched)


def _caller() -> str:
    """File and line of the script's own code that led here: neither ours nor a library's."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        path = frame.f_code.co_filename
        if Path(path).is_file() and not path.startswith((PACKAGE, *LIBRARIES)):
            return f"{os.path.relpath(path)}:{frame.f_lineno}"
        frame = frame.f_back
    return "a library"
