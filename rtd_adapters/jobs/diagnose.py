"""`rtd diagnose`, end to end: a patch beside its base, and the questions asked of both."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rtd_adapters.clip.backbones import DEFAULT, load_backbone
from rtd_adapters.errors import UsageError
from rtd_adapters.evaluation.diagnosis import DIAGNOSTICS, BeforeAfter
from rtd_adapters.evaluation.result import Diagnosis
from rtd_adapters.jobs.provided import provisions
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.projections import load_projection
from rtd_adapters.patch import TextEncoderPatch


def diagnose(
    method: str, patch: Path, questions: Iterable[str] = (), backbone: str = DEFAULT
) -> list[Diagnosis]:
    """Ask what a patch changed, in the world that its backbone brings.

    Args:
        method: name of an installed method.
        patch: its file.
        questions: names in `DIAGNOSTICS`; all of them by default.
        backbone: one that brings a world of its own.

    Raises:
        PatchError: the patch was made for another text tower.
        UsageError: there is no such question, or the backbone brings no world.
        RtdError: an input is missing, damaged, or does not fit another.
    """
    asked = list(questions) or list(DIAGNOSTICS)
    unknown = [name for name in asked if name not in DIAGNOSTICS]
    if unknown:
        raise UsageError(f"Unknown question {unknown[0]!r}. Ask {', '.join(DIAGNOSTICS)}.")
    pair = _before_after(method, patch, backbone)
    return [DIAGNOSTICS[name](pair) for name in asked]


def _before_after(name: str, file: Path, backbone: str) -> BeforeAfter:
    loaded, method = TextEncoderPatch.load(file), get_method(name)
    clip = load_backbone(backbone)
    loaded.require_fit(clip.tower.state_dict(), clip.tower.config)
    projection, _ = load_projection(method, clip, None)
    brought = provisions(backbone)
    if brought is None:
        raise UsageError(f"{backbone} brings no pictures with captions to diagnose a patch on.")
    world = brought.world(method, projection, clip)
    return BeforeAfter(world, clip.tower, loaded.build_tower())
