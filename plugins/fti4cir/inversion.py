"""The projection of FTI4CIR: one token for the subject, and one for each striking attribute."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEMPLATES = 24
LAYERS = 3
MOST_ATTRIBUTES = 12
LEAST_SHARE = 0.05


class TemplateAttention(nn.Module):
    """Attention with one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_queries = nn.Linear(width, width, bias=False)
        self.to_keys_values = nn.Linear(width, 2 * width, bias=False)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, width] from [B, N, width]."""
        keys, values = self.to_keys_values(x).chunk(2, -1)
        return self.project(F.scaled_dot_product_attention(self.to_queries(x), keys, values))


class TemplateMLP(nn.Module):
    """Two layers, twice as wide between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] from [..., width]."""
        return self.fc2(self.fc1(x).relu())


class TemplateBlock(nn.Module):
    """A pre-norm residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = TemplateAttention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TemplateMLP(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, width] from [B, N, width]."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TemplateTransformer(nn.Module):
    """The stack of blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TemplateBlock(width) for _ in range(LAYERS))

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, width] from [B, N, width]."""
        for layer in self.layers:
            x = layer(x)
        return x


class FineGrainedInversion(nn.Module):
    """IMG2TEXT: templates gather local features, of which a few become attribute tokens.

    Tensors are named as in ZiChao111/FTI4CIR (src/i2t_model.py), but for `selection`, which holds
    two numbers that its checkpoint keeps beside them.

    Args:
        embed_dim: width of the joint image-text space.
        text_width: width of the text tower's token embeddings.
        image_width: width of the image tower's states.
        templates: how many local features there are; 24 in the published checkpoint.
    """

    def __init__(
        self,
        embed_dim: int,
        text_width: int,
        image_width: int,
        templates: int = TEMPLATES,
    ) -> None:
        from ..searle.phi import Phi

        super().__init__()
        self.phi_s = Phi(embed_dim, 4 * embed_dim, text_width)
        self.phi_a = Phi(embed_dim, 4 * embed_dim, text_width)
        self.local_atte_fc = nn.Sequential(nn.Linear(image_width, embed_dim), nn.Sigmoid())
        self.transformer = TemplateTransformer(image_width)
        self.templates = nn.Parameter(torch.randn(1, templates, image_width))
        self.register_buffer("selection", torch.tensor([MOST_ATTRIBUTES, LEAST_SHARE]))
        self.selection: Tensor

    def forward(self, embedding: Tensor, states: Tensor) -> tuple[Tensor, list[int]]:
        """Pseudo tokens [B, 1 + topk, text_width], the subject first, and how many attributes of
        each row count.

        Args:
            embedding: [B, embed_dim] of the picture, unnormalised.
            states: [B, 1 + patches, image_width], the whole picture's first.
        """
        local, counts = self.select(embedding, self.local_features(states))
        tokens = torch.cat([self.phi_s(embedding)[:, None], self.phi_a(local)], dim=1)
        return tokens, counts

    def local_features(self, states: Tensor) -> Tensor:
        """[B, templates, embed_dim], all within (0, 1)."""
        templates = self.templates.expand(len(states), -1, -1)
        seen = self.transformer(torch.cat([templates, states], dim=1))
        return self.local_atte_fc(seen[:, : templates.shape[1]])

    def select(self, embedding: Tensor, local: Tensor) -> tuple[Tensor, list[int]]:
        """The topk local features [B, topk, embed_dim] of length 1, those that count in front.

        A feature counts if its share of the attention to the whole picture exceeds a threshold;
        at least one does. Those that count stand in the templates' order, the rest by their share.
        """
        most, least = int(self.selection[0]), self.selection[1]
        share = torch.softmax((local @ embedding[:, :, None]).squeeze(2), dim=1)
        order = share.argsort(dim=1, descending=True)[:, :most]
        counts = (share > least).sum(1).clamp(1, order.shape[1])
        place = torch.arange(order.shape[1], device=order.device)
        key = torch.where(place < counts[:, None], order, share.shape[1] + place)
        order = order.gather(1, key.argsort(dim=1))
        chosen = local.gather(1, order[:, :, None].expand(-1, -1, local.shape[2]))
        return F.normalize(chosen, dim=-1), counts.tolist()
