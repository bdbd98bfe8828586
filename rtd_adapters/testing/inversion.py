"""Promises about the training of a method's projection, where the method says how it is trained."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from rtd_adapters.methods.inversion import CAPTIONS, SOURCES, Concept, ProjectionTraining
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.projection_files import write_projection
from rtd_adapters.testing.promises import promised, require
from rtd_adapters.testing.rehearsal import CAPTIONS as TEXTS, Rehearsal
from rtd_adapters.training.anchors import Anchors
from rtd_adapters.training.inversion import CaptionSource, InversionSettings, PictureSource
from rtd_adapters.training.inversion.engine import Apparatus, InversionEngine
from rtd_adapters.training.inversion.lessons import LessonStream
from rtd_adapters.training.inversion.sources import Source
from rtd_adapters.training.inversion.teaching import Teacher
from rtd_adapters.triplets.spans import WordListSpans

LOGIT_SCALE = 10.0
ROUNDING = 1e-5
CONCEPTS = (Concept("dog", ["a dog on a beach"]), Concept("car", ["two cars", "an old car"]))


def training_is_declared_whole(method: Method) -> None:
    """`rtd projection train` knows what to ask for, and every published setting."""
    training = method.projection_training
    if training is None:
        return
    require(
        method,
        training.learns_from in SOURCES,
        f"its projection learns from {training.learns_from!r}",
        f"Use one of {', '.join(SOURCES)}.",
    )
    with promised(method, "reading `published`", "Name fields of InversionSettings only."):
        InversionSettings(**training.published)


def training_reaches_the_projection_alone(method: Method) -> None:
    """A step has a finite loss, whose gradient reaches every tensor of the projection and none of
    the tower."""
    training = method.projection_training
    if training is None:
        return
    apparatus = _apparatus(method, training)
    settings = InversionSettings(batch_size=len(TEXTS), noise_scale=0.1)
    engine = InversionEngine(apparatus, settings)
    stream = LessonStream(
        apparatus.source, training, method, apparatus.tokenizer, batch_size=len(TEXTS), seed=0
    )
    remedy = "lesson() gives prompts with placeholders, loss() a scalar with gradient."
    with promised(method, "a step of its projection's training", remedy), torch.random.fork_rng():
        loss = engine.step(stream.batch(0), Tensor.backward)
    require(
        method,
        loss.dim() == 0 and bool(torch.isfinite(loss)),
        f"the loss of its projection is {loss.tolist()}",
        "Return one finite number.",
    )
    untouched = _untouched(apparatus.projection.named_parameters())
    require(
        method,
        not untouched,
        f"the loss of its projection gives no gradient to {', '.join(untouched)}",
        "Compose with the projection as it is given, without detach or no_grad.",
    )


def teaching_moves_the_tokens(method: Method) -> None:
    """Where pictures get tokens by themselves first, a step changes every one of them."""
    training = method.projection_training
    if training is None or training.teaching is None:
        return
    apparatus, teaching = _apparatus(method, training), copy.copy(training.teaching)
    found = []
    for teaching.steps in (0, 1):
        teacher = Teacher(
            method, teaching, apparatus.tower, apparatus.tokenizer, apparatus.source, seed=0
        )
        remedy = "lessons() gives as many for each picture, loss() a scalar with gradient."
        with promised(method, "a step of its teaching", remedy):
            found.append(teacher.invert(0, range(len(TEXTS))))
    before, after = found
    moved = (after - before).norm(dim=1)
    require(
        method,
        bool(torch.isfinite(after).all() and (moved > ROUNDING * before.norm(dim=1)).all()),
        "a step of its teaching leaves a picture's token as it was, or makes it infinite",
        "Let the loss depend on every picture's embedding.",
    )


def trained_projection_is_read_again(method: Method) -> None:
    """What `rtd projection train` writes, the method's `load_projection` reads."""
    if method.projection_training is None:
        return
    rehearsal = Rehearsal(method)
    remedy = "Let projection_checkpoint return what load_projection reads."
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.pt"
        with promised(method, "writing its projection and reading it again", remedy):
            write_projection(method, rehearsal.projection, {"method": method.name}, path)
            read = method.load_projection(path, rehearsal.shape).state_dict()
        written = rehearsal.projection.state_dict()
        require(
            method,
            read.keys() == written.keys() and all(torch.equal(read[k], written[k]) for k in read),
            "its projection, written and read again, has other tensors",
            remedy,
        )


def _apparatus(method: Method, training: ProjectionTraining) -> Apparatus:
    rehearsal = Rehearsal(method)
    tower, tokenizer, shape = rehearsal.tower, rehearsal.tokenizer, rehearsal.shape
    projection = rehearsal.projection.train().requires_grad_(True)
    for module in projection.modules():
        if isinstance(module, nn.Dropout):
            module.eval()  # which a small batch might not see a unit through
    pictures = torch.randn(len(TEXTS), shape.embed_dim, generator=torch.Generator().manual_seed(0))
    source: Source = CaptionSource(TEXTS, tokenizer, WordListSpans())
    if training.learns_from != CAPTIONS:
        nearest = torch.arange(len(CONCEPTS)).expand(len(TEXTS), -1)
        tokens = torch.randn(len(TEXTS), shape.text_width)
        source = PictureSource(pictures, CONCEPTS, nearest, tokens)
    anchors = Anchors(tower, tokenizer)
    return Apparatus(method, training, projection, tower, tokenizer, source, anchors, LOGIT_SCALE)


def _untouched(parameters: Iterable[tuple[str, nn.Parameter]]) -> list[str]:
    return [name for name, value in parameters if value.grad is None or not value.grad.any()]
