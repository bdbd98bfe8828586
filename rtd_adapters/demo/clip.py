"""The built-in world's CLIP: two million parameters, made and loaded by open_clip."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from rtd_adapters.io.checkpoints import read_safetensors

NAME = "rtd-demo"
WEIGHTS = Path(__file__).parent / "weights" / "clip.safetensors"
VOCABULARY = 49408
ROWS = "token_embedding.rows"
TABLE = "token_embedding.weight"
CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
    "text_cfg": {
        "context_length": 40,
        "vocab_size": VOCABULARY,
        "width": 128,
        "heads": 4,
        "layers": 3,
    },
}


def load_demo_clip() -> tuple[nn.Module, Callable[[Any], Tensor]]:
    """The model in fp32 and eval mode, and its image transform.

    It goes the way of any open_clip model: a config JSON, a checkpoint file, `create_model`.
    """
    import open_clip

    with tempfile.TemporaryDirectory() as folder:
        config, weights = write_checkpoint(Path(folder))
        open_clip.add_model_config(config)
        model, _, preprocess = open_clip.create_model_and_transforms(NAME, pretrained=str(weights))
    return model.eval(), preprocess


def write_checkpoint(folder: Path) -> tuple[Path, Path]:
    """Write the config JSON and the full checkpoint that open_clip reads; returns both paths."""
    config = folder / f"{NAME}.json"
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    weights = folder / f"{NAME}.safetensors"
    save_file(expand(read_safetensors(WEIGHTS)[0]), weights)
    return config, weights


def expand(compact: dict[str, Tensor]) -> dict[str, Tensor]:
    """The full fp32 checkpoint from the shipped one, which keeps the used token rows in fp16.

    A word the world does not use has an all-zero row: it carries no meaning.
    """
    tensors = {name: tensor.float() for name, tensor in compact.items() if name != ROWS}
    table = torch.zeros(VOCABULARY, tensors[TABLE].shape[1])
    table[compact[ROWS].long()] = tensors[TABLE]
    return tensors | {TABLE: table}


def pixels(images: Iterable[Image.Image]) -> Tensor:
    """[N, 3, 64, 64] as the model's own transform gives for pictures of just that size."""
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return normalise(stacked.permute(0, 3, 1, 2))


def normalise(raw: Tensor) -> Tensor:
    """Bytes [N, 3, 64, 64] to what the image tower takes."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return (raw.float() / 255 - mean) / std
