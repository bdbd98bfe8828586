"""The built-in world as a plugin: backbones and benchmarks, registered as anybody else's are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtd_adapters.clip.sources import BackboneSource
from rtd_adapters.demo.models import CLIPS, DemoClip
from rtd_adapters.demo.projections import PROJECTION_RECIPES, projection_path
from rtd_adapters.evaluation.benchmark import Benchmark, BenchmarkSource
from rtd_adapters.hooks.specs import hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.shapes import BackboneShape
    from rtd_adapters.evaluation.world import World
    from rtd_adapters.methods.method import Method
    from rtd_adapters.triplets import TripletSet

TRIPLETS, SEED = 20_000, 0


class DemoBackbone(BackboneSource):
    """One of the built-in world's CLIPs, which brings everything that `rtd patch` asks for."""

    notice = (
        "This is the built-in miniature world, for trying and testing. With real weights:\n"
        "  rtd patch --method {method} --backbone ViT-L-14 --pretrained openai "
        "--projection SEARLE_ViT-L14.pt --triplets triplets.json --out weights.safetensors"
    )
    method = "searle"

    def __init__(self, clip: DemoClip) -> None:
        self._clip = clip
        self.name, self.summary = clip.name, clip.summary

    def load(self) -> tuple[nn.Module, Callable[[Any], Tensor]]:
        """Built by open_clip, as any of its models."""
        from rtd_adapters.demo.clip import load_demo_clip

        return load_demo_clip(self._clip)

    def shape(self) -> BackboneShape:
        """Read off its config."""
        from rtd_adapters.clip.open_clip_models import config_shape

        return config_shape(self._clip.config)

    def projection(self, method: str) -> Path:
        """The method's miniature projection."""
        return projection_path(self._clip, method)

    def triplets(self) -> TripletSet:
        """20,000 from its grammar, always the same."""
        from rtd_adapters.demo.triplets import training_set

        return training_set(TRIPLETS, SEED)

    def recipe(self, kind: str) -> Mapping[str, Any]:
        """A tower of 2 M parameters needs larger steps and far fewer of them than the published
        recipe has; see README, "Figures"."""
        return {
            "steps": 80,
            "batch_size": 64,
            "learning_rate": 3e-3 if kind == "lora" else 5e-4,
            "warmup_steps": 20,
            "schedule": "cosine",
        }

    def projection_recipe(self, method: str) -> Mapping[str, Any]:
        """Larger steps and far fewer of them here too; see docs/world.md, "Projections"."""
        return PROJECTION_RECIPES.get(method, {})

    def world(self, method: Method, projection: nn.Module, backbone: Backbone) -> World:
        """Its held-out queries."""
        from rtd_adapters.demo.queries import held_out_queries
        from rtd_adapters.demo.world import demo_world

        return demo_world(method, projection, backbone, held_out_queries())


@hookimpl
def register_backbones(register: Callable[[BackboneSource], None]) -> None:
    """Add the built-in world's CLIPs."""
    for clip in CLIPS:
        register(DemoBackbone(clip))


@hookimpl
def register_benchmarks(register: Callable[[BenchmarkSource], None]) -> None:
    """Add its held-out queries and their plain captions, under the name of each CLIP."""
    sources = (
        ("", "the built-in world's 1,000 held-out queries", _load),
        ("-captions", "plain captions of the pictures that those look for", _load_captions),
    )
    for clip in CLIPS:
        for kind, summary, load in sources:
            name = f"{clip.name}{kind}"
            register(BenchmarkSource(name, summary, load, needs_data=False, backbone=clip.name))


def _load(name: str, root: Path, split: str) -> Benchmark:
    from rtd_adapters.demo.benchmark import load

    return load(name, root, split)


def _load_captions(name: str, root: Path, split: str) -> Benchmark:
    from rtd_adapters.demo.benchmark import load_captions

    return load_captions(name, root, split)
