"""What lifting gives back, on heads of CLIP's sizes and on spectra of choice, two ways.

    python examples/benchmarks/lift.py > examples/benchmarks/lift.md

States are random; a caption is its picture's embedding plus noise of the same size, which leaves a
cosine of about 0.7. Columns: the cosine of the lifted caption's embedding to the caption; of the
lifted caption to its picture's state; and how often it is nearest to that state among 200.
*inverse* is what rtd did before: the pseudo-inverse of gain times projection, the LayerNorm's shift
taken off, shortened to the length that a state has, the rest filled with a fixed direction. *ridge*
is what it does. A shift in the LayerNorm moves all pictures and no caption. It takes a minute.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtd_adapters.clip.image_head import ImageHead

SIZES = {"ViT-B-32": (768, 512), "ViT-L-14": (1024, 768), "ViT-H-14": (1280, 1024)}
"""Width and embed_dim, as open_clip has them."""
CONDITIONS = (10.0, 1e2, 1e3, 1e5)
SHIFTS = (0.0, 1.0)
"""Length of the shift's image, in lengths of a picture's embedding."""
PICTURES = 200


def random_projection(width: int, embed_dim: int) -> Tensor:
    """As open_clip initialises it."""
    return width**-0.5 * torch.randn(width, embed_dim)


def with_spectrum(width: int, embed_dim: int, condition: float) -> Tensor:
    """A projection whose singular values fall from 1 to 1 / condition in equal ratios."""
    left, right = (torch.linalg.qr(torch.randn(n, embed_dim))[0] for n in (width, embed_dim))
    return left * torch.logspace(0, -torch.tensor(condition).log10().item(), embed_dim) @ right.T


def inverse(head: ImageHead, vectors: Tensor) -> Tensor:
    """The lift as it was, in float64."""
    gain, shift, weight = (p.double() for p in (head.norm.weight, head.norm.bias, head.weight))
    seen = torch.cat([gain[:, None] * weight, torch.ones(len(gain), 1).double()], dim=1)
    back = torch.linalg.pinv(seen)
    wanted, offset = vectors.double() @ back[:-1], shift @ weight @ back[:-1]
    a, b = wanted.square().sum(-1, keepdim=True), (wanted * offset).sum(-1, keepdim=True)
    c = offset.square().sum() - len(gain)
    longest = (b + (b.square() - a * c).clamp_min(0).sqrt()) / a
    states = longest.clamp(max=1) * wanted - offset
    free = torch.randn(len(gain)).double()
    unseen = F.normalize(free - seen @ (back @ free), dim=0)
    room = (len(gain) - states.square().sum(-1, keepdim=True)).clamp_min(0)
    return (states + room.sqrt() * unseen).float()


def figures(head: ImageHead, lifted: Tensor, captions: Tensor, states: Tensor) -> str:
    """Three cells of a row."""
    back = F.cosine_similarity(head(lifted), captions).mean().item()
    cosines = F.normalize(lifted, dim=-1) @ F.normalize(states, dim=-1).T
    nearest = (cosines.argmax(1) == torch.arange(len(states))).float().mean().item()
    return f"{back:.2f} | {cosines.diagonal().mean().item():.2f} | {100 * nearest:.0f} %"


def row(name: str, weight: Tensor, shift: float) -> None:
    """Print both lifts' figures for a projection."""
    width = len(weight)
    norm = nn.LayerNorm(width).requires_grad_(False)
    norm.weight.copy_(1 + 0.2 * torch.randn(width))
    states = F.layer_norm(torch.randn(PICTURES, width), (width,))
    plain = norm(states) @ weight
    noise = plain.std() * torch.randn_like(plain)
    norm.bias.normal_()
    norm.bias.mul_(shift * plain.norm(dim=-1).mean() / (norm.bias @ weight).norm())
    head = ImageHead(norm, weight)
    before, now = (
        figures(head, lifted, plain + noise, states)
        for lifted in (inverse(head, plain + noise), head.lift(plain + noise))
    )
    print(f"| {name} | {shift:g} | {before} | {now} |", flush=True)


def main() -> None:
    torch.manual_seed(0)
    columns = (f"{lift}: caption | state | its own" for lift in ("inverse", "ridge"))
    print(f"| head | shift | {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (width, embed_dim) in SIZES.items():
        for shift in SHIFTS:
            row(f"{name}, random", random_projection(width, embed_dim), shift)
        for condition in CONDITIONS:
            for shift in SHIFTS:
                weight = with_spectrum(width, embed_dim, condition)
                row(f"{name}, condition {condition:g}", weight, shift)


if __name__ == "__main__":
    main()
