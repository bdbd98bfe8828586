"""LinCIR's own training of its projection, from captions alone."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from rtd_adapters import Described, Inverted, Lesson, LessonBatch, ProjectionTraining

if TYPE_CHECKING:
    from random import Random

    from torch import Tensor

    from rtd_adapters import Inverting


class LincirTraining(ProjectionTraining):
    """Self-masking projection: a caption whose keywords are masked by the caption's own pseudo
    token has to embed as the caption does.

    Settings are those of the README's command (eight processes of 64, fp16 left out), which names
    256 and 512 as equally good. The script's optional moving average and normalisation are off
    there and not here. What is ours: the word that is masked in a caption without a usable keyword
    follows from the seed.
    """

    learns_from = "captions"
    published = MappingProxyType(
        {
            "steps": 20_000,
            "batch_size": 512,
            "learning_rate": 1e-4,
            "weight_decay": 0.01,
            "noise_scale": 1.0,
        }
    )
    source = "navervision/lincir, README and train_phi.py"

    def lesson(self, method: Inverting, described: Described, draw: Random) -> Lesson:
        """The caption with every keyword masked, wherever its letters stand (loader.py).

        At the first keyword that the caption does not have literally, or where there is none, one
        of its words at random is masked instead and the other keywords are passed over.
        """
        caption = masked = described.caption
        mask = f" {method.placeholder} "
        for keyword in described.keywords or ("",):
            if keyword and keyword in caption:
                masked = masked.replace(keyword, mask)
                continue
            if choice := caption.split():
                masked = masked.replace(draw.choice(choice), mask)
            break
        return Lesson(" ".join(masked.split()) if mask in masked else method.bare_prompt)

    def loss(self, made: Inverted, batch: LessonBatch) -> Tensor:
        """Mean squared error between unnormalised embeddings."""
        from torch.nn.functional import mse_loss

        return mse_loss(made.embedded, batch.targets)
