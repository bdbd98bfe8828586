"""What is evaluated: method, backbone and benchmark, loaded and checked, and the options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from rtd_adapters.clip.backbones import DEFAULT, Backbone, load_backbone
from rtd_adapters.clip.text import TextTower, require_strength
from rtd_adapters.compute.devices import require_device
from rtd_adapters.errors import UsageError, require_number
from rtd_adapters.evaluation.benchmark import Benchmark, get_benchmark, load_benchmark
from rtd_adapters.evaluation.image_tower import require_precision
from rtd_adapters.evaluation.pictures import require_preprocessing
from rtd_adapters.evaluation.queries import require_opening
from rtd_adapters.evaluation.rows import Rows
from rtd_adapters.hooks.registry import registry
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.projections import load_projection
from rtd_adapters.patch import TextEncoderPatch


@dataclass(frozen=True)
class EvalOptions:
    """How an evaluation is carried out."""

    preprocess: str = "clip"
    """Pictures as the backbone's own transform wants them, or padded first (`targetpad`, SEARLE's
    default)."""
    strength: float = 1.0
    """Of the patch: 0 is the base encoder, 1 the patched one."""
    batch_size: int = 64
    cache: bool = True
    """Keep picture embeddings on disk."""
    quiet: bool = False
    device: str | None = None
    """cpu, cuda, ...; accelerate's choice by default."""
    workers: int = 0
    """Processes that read pictures; with 0 the evaluation itself reads them."""
    precision: str = "no"
    """Autocast of the image tower: no, fp16 or bf16. Embeddings are kept in fp32, and texts
    computed in it."""
    skip_broken: bool = False
    """Leave out pictures that cannot be read, and the queries that lose their reference or every
    right answer."""
    rivals: bool = False
    """Ask the same queries by training-free rivals too, each a column beside base and patched."""
    also_strengths: tuple[float, ...] = ()
    """Further strengths of the patch, each a column."""

    def __post_init__(self) -> None:
        for strength in (self.strength, *self.also_strengths):
            require_strength(strength)
        require_number("--batch-size", self.batch_size, least=1)
        require_number("--workers", self.workers, least=0)
        require_precision(self.precision)


@dataclass(frozen=True)
class Evaluation:
    """A method on a benchmark, ready to be searched with any text tower."""

    method: Method
    projection: nn.Module | None
    """None where nothing is composed."""
    benchmark: Benchmark
    backbone: Backbone
    options: EvalOptions
    held: dict[str, Rows] = field(default_factory=dict, repr=False, compare=False)
    """Picture embeddings, in memory or mapped from disk; as in `Pictures`."""

    def to(self, device: torch.device) -> None:
        """Move towers and projection to a device, in place."""
        self.backbone.to(device)
        if self.projection is not None:
            self.projection.to(device)

    def composing_projection(self) -> nn.Module:
        """The projection, for queries that are composed.

        Raises:
            UsageError: none was loaded.
        """
        if self.projection is None:
            raise UsageError(
                f"{self.benchmark.name} asks plain captions, for which no projection of "
                f"{self.method.name} was loaded, and so nothing can be composed. Pass "
                "composes=True to prepare."
            )
        return self.projection


def prepare(
    *,
    method: str,
    benchmark: str = DEFAULT,
    data: Path | None = None,
    split: str = "val",
    backbone: str = DEFAULT,
    pretrained: str | None = None,
    projection: Path | None = None,
    options: EvalOptions | None = None,
    method_options: Mapping[str, str] = MappingProxyType({}),
    composes: bool = False,
) -> Evaluation:
    """Load method, benchmark, backbone and projection, cheapest checks first.

    Arguments as in `evaluate`, but for one.

    Args:
        composes: whether queries are composed even where the benchmark asks plain captions, as a
            diagnosis does with triplets; without that a projection is neither needed nor opened.

    Raises:
        RtdError: an input is missing, damaged, or does not fit another.
    """
    chosen = options or EvalOptions()
    asked = get_method(method).configured(method_options)
    require_preprocessing(chosen.preprocess)
    require_device(chosen.device)
    require_partners(benchmark, backbone)
    searched = load_benchmark(benchmark, data, split)
    if any(query.bare for part in searched.parts for query in part.queries):
        require_opening(asked.bare_prompt, asked, benchmark)
    if chosen.rivals and not all(part.references for part in searched.parts):
        raise UsageError(
            f"{benchmark} asks plain captions, which have no reference picture, and so no rivals. "
            "Leave --rivals out."
        )
    clip = load_backbone(backbone, pretrained)
    clip.images()  # an evaluation looks at pictures
    module = None
    if composes or searched.composes:
        module, _ = load_projection(asked, clip, projection)
    return Evaluation(asked, module, searched, clip, chosen)


def require_partners(benchmark: str, backbone: str) -> None:
    """Refuse pictures that a backbone knows nothing of.

    Raises:
        UsageError: the benchmark's pictures are another backbone's own, or the other way round.
    """
    sources = registry().benchmarks.values()
    owners = {source.backbone for source in sources if source.backbone}
    bound = get_benchmark(benchmark).backbone
    if bound != (backbone if backbone in owners else None):
        raise UsageError(
            f"the benchmark {benchmark} and the backbone {backbone} do not go together: the "
            "built-in world's CLIP knows no photographs, and no other knows its pictures. Pass "
            "both --benchmark and --backbone."
        )


def require_patch(options: EvalOptions, *, given: bool) -> None:
    """Refuse strengths of a patch that is not there.

    Raises:
        UsageError: there is none.
    """
    if options.also_strengths and not given:
        raise UsageError("--also-strength is of a patch, and there is none. Pass --patch.")


def patched_tower(backbone: Backbone, patch: TextEncoderPatch, strength: float = 1.0) -> TextTower:
    """The backbone's text tower with a patch in it; the backbone keeps its own.

    Args:
        backbone: whose tower the patch was made for.
        patch: as `run_patch` made it or `TextEncoderPatch.load` read it.
        strength: 0 is the base encoder, 1 the patched one, values between interpolate.

    Raises:
        PatchError: the patch was made for another tower.
    """
    patch.require_fit(backbone.tower.state_dict(), backbone.tower.config)
    return fitted_tower(backbone, patch, strength)


def fitted_tower(backbone: Backbone, patch: TextEncoderPatch, strength: float) -> TextTower:
    """`patched_tower` of a patch that is known to fit, which takes longer to find out."""
    tower = patch.build_tower(backbone.tower.state_dict(), strength)
    tower.vocabulary = backbone.tower.vocabulary
    return tower.to(backbone.tower.device)
