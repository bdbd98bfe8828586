"""How the built-in world's networks learn: CLIP's loss, and the optimizer of its image towers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEARNING_RATE = 1.5e-3
WARMUP = 100
WEIGHT_DECAY = 0.05


def contrast(one: Tensor, other: Tensor, scale: Tensor | float) -> Tensor:
    """CLIP's loss of two [B, embed_dim] batches whose rows belong together: each must find its own.

    Args:
        one: embeddings of any norm.
        other: embeddings of any norm.
        scale: what cosines are multiplied by, the inverse of the temperature.
    """
    logits = scale * F.normalize(one, dim=-1) @ F.normalize(other, dim=-1).T
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def make_optimizer(module: nn.Module) -> torch.optim.Optimizer:
    """AdamW over a module's parameters; only matrices decay."""
    matrices = [p for p in module.parameters() if p.ndim >= 2]
    others = [p for p in module.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
    """Linear warm-up, then a cosine to zero."""
    for group in optimizer.param_groups:
        group["lr"] = LEARNING_RATE * _share(step, steps)


def _share(step: int, steps: int) -> float:
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP)))
