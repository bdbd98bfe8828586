"""What lets the authors' code run here: on the CPU, in double precision, with stable sorts.

A stable sort says which of two equals is first. The encoders are taken out, for they are no part of
a protocol.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Sequence
from importlib.util import find_spec

import torch
from PIL import Image
from torch import Tensor

from golden.vectors import WIDTH, image_vector, query_vector

torch.set_default_dtype(torch.float64)
torch.Tensor.float = torch.Tensor.double
torch.Tensor.cuda = lambda self, *a, **k: self
torch.argsort = lambda x, dim=-1, descending=False: (
    torch.sort(x, dim=dim, descending=descending, stable=True).indices
)
torch.Tensor.sort = lambda self, dim=-1, descending=False: torch.sort(
    self, dim=dim, descending=descending, stable=True
)
torch.topk = lambda x, k, dim=-1: _first(torch.sort(x, dim=dim, descending=True, stable=True), k)
_loader = torch.utils.data.DataLoader.__init__


def _first(ordered: torch.return_types.sort, k: int) -> types.SimpleNamespace:
    return types.SimpleNamespace(values=ordered.values[..., :k], indices=ordered.indices[..., :k])


def _in_this_process(self: object, *args: object, **options: object) -> None:
    alone = {"num_workers": 0, "pin_memory": False, "persistent_workers": False}
    _loader(self, *args, **{**options, **alone})


torch.utils.data.DataLoader.__init__ = _in_this_process


def transform(picture: Image.Image) -> Tensor:
    """[3, 2, 4]: a picture's vector, in the shape of a small picture."""
    return torch.tensor(image_vector(picture), dtype=torch.float64).view(3, 2, WIDTH // 6)


def compose(tokens: Tensor, pseudo: Tensor) -> Tensor:
    """[B, 24] query vectors of token ids, [B or 1, 77], and pseudo tokens, which are pictures'."""
    rows = tokens.expand(len(pseudo), -1).tolist()
    found = [query_vector(*pair) for pair in zip(rows, pseudo.tolist(), strict=True)]
    return torch.tensor(found, dtype=torch.float64)


class Encoders(torch.nn.Module):
    """A CLIP whose pictures carry their vectors."""

    visual = types.SimpleNamespace(input_resolution=2)
    logit_scale = torch.zeros(())

    def encode_image(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        return compose(tokens, torch.zeros(len(tokens), WIDTH))

    def encode_text_img_retrieval(
        self, tokens: Tensor, pseudo: Tensor, **options: object
    ) -> Tensor:
        return compose(tokens, pseudo)


def without(*modules: str) -> None:
    """Empty modules for what is imported, not used, and not here."""
    for name in modules:
        if find_spec(name) is None:
            sys.modules[name] = types.ModuleType(name)


def show(found: object) -> None:
    print("FOUND", json.dumps(found))


def whole(shares: Sequence[float], queries: int) -> list[int]:
    """Shares of the queries as counts."""
    counts = [round(share * queries) for share in shares]
    assert all(abs(n - s * queries) < 1e-6 for n, s in zip(counts, shares, strict=True))
    return counts
