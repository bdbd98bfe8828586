"""One request for everything that captions can give, and the requests of its three steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from rtd_adapters.clip.backbones import DEFAULT
from rtd_adapters.compute.processes import launched
from rtd_adapters.errors import UsageError
from rtd_adapters.jobs.inputs import PatchJob, check_request as check_patch
from rtd_adapters.jobs.ledger import content_of, request_of
from rtd_adapters.jobs.projection import ProjectionJob
from rtd_adapters.jobs.projection.inputs import check_request as check_projection, training_of
from rtd_adapters.jobs.questions import Question
from rtd_adapters.jobs.recipe import CHECKPOINT_MINUTES
from rtd_adapters.methods.installed import get_method
from rtd_adapters.methods.inversion import CAPTIONS
from rtd_adapters.patch.metadata import PAPER
from rtd_adapters.training import RunOptions, TrainingSettings
from rtd_adapters.training.inversion import InversionSettings
from rtd_adapters.training.run_folder import folder_beside, has_checkpoint
from rtd_adapters.triplets.formats import STDIN
from rtd_adapters.triplets.keywords import keyword_finder
from rtd_adapters.triplets.language.kinds import read_kinds
from rtd_adapters.triplets.rules.settings import RuleSettings

LINCIR = "lincir"
"""The method that is published to learn its projection from captions alone."""
PROJECTION, TRIPLETS, PATCH, CARD = (
    "projection.pt",
    "triplets.jsonl",
    "weights.safetensors",
    "README.md",
)


@dataclass(frozen=True)
class AdaptJob:
    """One `rtd adapt`: captions and a backbone in; projection, triplets, patch and card out."""

    captions: str
    """Source of captions, as `read_captions` takes it, but not standard input: it is read twice."""
    out: Path
    """A folder."""
    method: str = LINCIR
    """One whose projection learns from captions."""
    backbone: str = DEFAULT
    pretrained: str | None = None
    method_options: Mapping[str, str] = field(default_factory=dict)
    column: str | None = None
    keywords: str | None = None
    """What finds the keywords that the projection's training masks: spacy or word-list; None as
    there is."""
    kinds: Path | None = None
    """More words that triplets may swap."""
    inversion: InversionSettings = field(default_factory=InversionSettings)
    """Of the projection's training."""
    rules: RuleSettings = field(default_factory=RuleSettings)
    """Of the triplets."""
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    """Of the patch's training."""
    kind: str = "full"
    recipe: str = PAPER
    device: str | None = None
    """Of both trainings, as in `RunOptions`."""
    quiet: bool = False
    command: str = ""
    """The command line, for the card."""
    given: str = ""
    """The command's options as YAML, for the folder."""

    def projection_job(self) -> ProjectionJob:
        """The first step."""
        out = self.out / PROJECTION
        return ProjectionJob(
            self.method,
            out,
            captions=self.captions,
            column=self.column,
            keywords=self.keywords,
            backbone=self.backbone,
            pretrained=self.pretrained,
            method_options=self.method_options,
            settings=self.inversion,
            options=self._options(out),
            overwrite=True,
        )

    def patch_job(self) -> PatchJob:
        """The last step."""
        out = self.out / PATCH
        return PatchJob(
            self.method,
            out,
            self.backbone,
            self.pretrained,
            self.out / PROJECTION,
            self.method_options,
            triplets=self.out / TRIPLETS,
            kind=self.kind,
            settings=self.settings,
            recipe=self.recipe,
            options=self._options(out),
            card=self.out / CARD,
            command=self.command,
            overwrite=True,
        )

    @property
    def encoder(self) -> str:
        """Name of the frozen tower that words are compared by."""
        return " ".join(filter(None, (self.backbone, self.pretrained)))

    def projection_question(self) -> Question:
        """All that decides the projection; files by their sha256."""
        return {
            "method": self.method,
            "method options": self.patch_job().options_by_content(),
            "backbone": content_of(self.backbone),
            "pretrained": content_of(self.pretrained),
            **self._material,
            **asdict(self.inversion),
        }

    def triplets_question(self) -> Question:
        """All that decides the triplets."""
        return {
            "backbone": content_of(self.backbone),
            "pretrained": content_of(self.pretrained),
            **self._material,
            "kinds": read_kinds(self.kinds).sha256,
            **asdict(self.rules),
        }

    def patch_question(self) -> Question:
        """All that decides the patch; the steps before it have been taken."""
        return request_of(self.patch_job())

    def _options(self, out: Path) -> RunOptions:
        """Of the training that writes `out`: it goes on where it was cut off."""
        return RunOptions(
            resume=has_checkpoint(folder_beside(out)),
            checkpoint_minutes=CHECKPOINT_MINUTES,
            quiet=self.quiet,
            device=self.device,
        )

    @cached_property
    def _material(self) -> Question:
        """The captions by their hash, which is taken once, and what finds keywords in them."""
        return {
            "captions": content_of(self.captions),
            "column": self.column,
            "keywords": keyword_finder(self.keywords).name,
        }


def check_request(job: AdaptJob) -> None:
    """Check of a request what can be checked before anything is loaded or looked for on the disk.

    Raises:
        UsageError: the method's projection learns from something else than captions, these come
            from standard input, there are several processes, or the patch's request is wrong.
    """
    learns_from = training_of(get_method(job.method)).learns_from
    if learns_from != CAPTIONS:
        raise UsageError(
            f"{job.method}'s projection learns from {learns_from}, and rtd adapt has captions "
            "alone. Take the steps by themselves: rtd projection train, rtd triplets rules, rtd "
            "patch."
        )
    if job.captions == STDIN:
        raise UsageError(
            "rtd adapt reads captions twice, which standard input cannot do. Write them to a file."
        )
    if launched().count > 1:
        raise UsageError(
            "rtd adapt is one process. Under torchrun take the steps by themselves: rtd projection "
            "train, rtd triplets rules, rtd patch."
        )
    check_projection(job.projection_job())
    check_patch(job.patch_job())
