"""A lift fitted to pictures at hand: ridge regression from their embeddings to their states.

Our own idea. What it will lift are captions, which lie further from their pictures' embeddings than
any picture does, and apart from all pictures (the modality gap). So each side is centred by its own
mean, and the ridge is chosen for pictures with noise of a caption's size on their embeddings. One
chosen for the pictures alone is a thousand times too small, the smaller the more pictures there
are, and inverts what captions hold of noise. Knows nothing of RTD.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.image_head import ImageHead

RIDGES = torch.logspace(-8, 2, 61, dtype=torch.float64)
"""That are tried, in units of the inputs' largest squared singular value."""


@dataclass(frozen=True)
class CalibrationPictures:
    """What N pictures give."""

    embedding: Tensor
    """[N, embed_dim], not normalised."""
    whole: Tensor
    """[N, image width]: the state of the whole picture."""
    patch: Tensor
    """[N, image width]: the mean state of its patches. A regression cannot tell more of a patch."""


@dataclass(frozen=True)
class RidgeFit:
    """A ridge regression with an intercept, in float64."""

    weight: Tensor
    """[inputs, outputs], of centred inputs."""
    mean: Tensor
    """[outputs], of the targets."""
    left_out: Tensor
    """[N, outputs]: each target as the fit to the others predicts it."""


class CalibratedHead(ImageHead):
    """An image head whose lift is fitted to pictures.

    Args:
        head: of the backbone.
        pictures: what it is fitted to.
        vectors: [M, 1 + patches, embed_dim] of the kind that will be lifted, whose means take the
            pictures' place.
    """

    def __init__(self, head: ImageHead, pictures: CalibrationPictures, vectors: Tensor) -> None:
        super().__init__(head.norm, head.weight, head.scale, head.patches)
        noise = caption_noise(pictures.embedding)
        whole, patch = (
            fit_ridge(pictures.embedding, states, noise)
            for states in (pictures.whole, pictures.patch)
        )
        self.left_out_cosine = _mean_cosine(whole.left_out, pictures.whole)
        """Of the states of whole pictures to what the fit to the other pictures makes of them."""
        self._whole = _Affine(vectors[:, 0].double().mean(0), whole)
        self._patch = _Affine(vectors[:, 1:].double().mean((0, 1)), patch)

    @torch.no_grad()
    def lift(self, vectors: Tensor) -> Tensor:
        """States [..., image width] of whole pictures, expected of vectors [..., embed_dim]."""
        return self._whole(vectors.float())

    @torch.no_grad()
    def lift_pictures(self, vectors: Tensor) -> Tensor:
        """[B, 1 + P, image width]: of a whole picture first, then of patches."""
        patches: Tensor = self._patch(vectors[:, 1:].float())
        return torch.cat([self.lift(vectors[:, :1]), patches], dim=1)


def caption_noise(embedding: Tensor) -> float:
    """Mean square, for each dimension, of a caption's way from its picture.

    Taken to be the pictures' own variance, as `image_head.way_back` does: in CLIP a caption is
    about as far from its picture as pictures are from each other.

    Args:
        embedding: [N, embed_dim] of pictures.
    """
    return embedding.double().var(0).mean().item()


def fit_ridge(inputs: Tensor, targets: Tensor, noise: float) -> RidgeFit:
    """Ridge regression, its ridge of least leave-one-out error where the left-out input is noisy.

    Noise of variance v on an input adds v times the squared weights to the expected error. The
    rest is the closed form of leave-one-out for a linear smoother with an intercept (PRESS, Allen
    1974), from one singular value decomposition.

    Args:
        inputs: [N, inputs].
        targets: [N, outputs].
        noise: variance, for each dimension, of what is added to an input when it is predicted from.
    """
    x, y = inputs.detach().cpu().double(), targets.detach().cpu().double()
    mean = y.mean(0)
    left, values, right = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    seen = left.T @ (y - mean)

    def gains(ridge: Tensor) -> Tensor:
        return values / (values.square() + ridge)

    def left_out(ridge: Tensor) -> Tensor:
        kept = values * gains(ridge)
        leverage = 1 / len(x) + left.square() @ kept
        residual = y - mean - left @ (kept[:, None] * seen)
        return y - residual / (1 - leverage)[:, None]

    def error(ridge: Tensor) -> float:
        missed = (y - left_out(ridge)).square().sum(1).mean()
        weights = gains(ridge).square() @ seen.square().sum(1)
        return (missed + noise * weights).item()

    ridge = min(values[0].square() * RIDGES, key=error)
    return RidgeFit(right.T @ (gains(ridge)[:, None] * seen), mean, left_out(ridge))


class _Affine(nn.Module):
    """A fit as a module, of inputs that have another mean than those it was fitted to."""

    def __init__(self, centre: Tensor, fit: RidgeFit) -> None:
        super().__init__()
        for name, tensor in (("centre", centre), ("weight", fit.weight), ("mean", fit.mean)):
            self.register_buffer(name, tensor.float())

    centre: Tensor
    weight: Tensor
    mean: Tensor

    def forward(self, vectors: Tensor) -> Tensor:
        return self.mean + (vectors - self.centre) @ self.weight


def _mean_cosine(a: Tensor, b: Tensor) -> float:
    return F.cosine_similarity(a.double(), b.double(), dim=-1).mean().item()
