"""The projection of a method that learns from captions, trained as anybody's is, on captions of the
built-in world."""

from __future__ import annotations

from torch import Tensor

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.demo.caption_file import training_captions
from rtd_adapters.demo.clip import stored
from rtd_adapters.demo.projections import PROJECTION_RECIPES
from rtd_adapters.methods.inversion import CAPTIONS, ProjectionTraining
from rtd_adapters.methods.method import Method
from rtd_adapters.training import RunOptions
from rtd_adapters.training.inversion import CaptionSource, InversionSettings, InversionTrainer
from rtd_adapters.triplets.spans import WordListSpans


def caption_training(method: Method) -> ProjectionTraining | None:
    """How the method's projection is trained, where that is on captions; None elsewhere."""
    training = method.projection_training
    return training if training and training.learns_from == CAPTIONS else None


def train_caption_projection(
    method: Method, training: ProjectionTraining, backbone: str, seed: int
) -> dict[str, Tensor]:
    """State dict of a projection for one of the world's CLIPs, in fp16; no picture is looked at."""
    chosen = {**training.published, **PROJECTION_RECIPES.get(method.name, {}), "seed": seed}
    clip = load_backbone(backbone)
    source = CaptionSource(training_captions(), method.tokenizer(clip.tower), WordListSpans())
    trainer = InversionTrainer(
        method,
        training,
        clip,
        lambda processes, device: source,
        InversionSettings(**chosen),
        RunOptions(quiet=True, device="cpu"),
    )
    projection = trainer.fresh()
    trainer.train(projection, {})
    return stored(projection.state_dict())
