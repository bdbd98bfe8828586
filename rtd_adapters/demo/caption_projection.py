"""The projection of a method that learns from captions, trained as anybody's is, on captions of the
built-in world."""

from __future__ import annotations

from torch import Tensor

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.demo.caption_file import training_captions
from rtd_adapters.demo.clip import stored
from rtd_adapters.jobs.projection.inputs import projection_settings, training_of
from rtd_adapters.methods.method import Method
from rtd_adapters.training import RunOptions
from rtd_adapters.training.inversion import CaptionSource, InversionTrainer
from rtd_adapters.triplets.spans import WordListSpans


def learns_from_captions(method: Method) -> bool:
    """Whether the method says that its projection does."""
    training = method.projection_training
    return training is not None and training.learns_from == "captions"


def train_caption_projection(method: Method, backbone: str, seed: int) -> dict[str, Tensor]:
    """State dict of a projection for one of the world's CLIPs, in fp16; no picture is looked at."""
    clip = load_backbone(backbone)
    source = CaptionSource(training_captions(), method.tokenizer(clip.tower), WordListSpans())
    trainer = InversionTrainer(
        method,
        training_of(method),
        clip,
        lambda processes, device: source,
        projection_settings(method.name, backbone, seed=seed),
        RunOptions(quiet=True, device="cpu"),
    )
    projection = trainer.fresh()
    trainer.train(projection, {})
    return stored(projection.state_dict())
