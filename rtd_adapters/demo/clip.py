"""The built-in world's CLIPs, made and loaded by open_clip."""

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

from rtd_adapters.demo.gap import BIAS, SCALE, move_texts
from rtd_adapters.demo.models import VOCABULARY, DemoClip
from rtd_adapters.io.checkpoints import read_safetensors

ROWS = "token_embedding.rows"
TABLE = "token_embedding.weight"


def load_demo_clip(clip: DemoClip) -> tuple[nn.Module, Callable[[Any], Tensor]]:
    """The model in fp32 and eval mode, and its image transform.

    It goes the way of any open_clip model: a config JSON, a checkpoint file, `create_model`.
    """
    import open_clip

    with tempfile.TemporaryDirectory() as folder:
        config, weights = write_checkpoint(clip, Path(folder))
        open_clip.add_model_config(config)
        model, _, preprocess = open_clip.create_model_and_transforms(
            clip.name, pretrained=str(weights)
        )
    if clip.moved:
        move_texts(model, read_safetensors(clip.weights)[0])
    return model.eval(), preprocess


def write_checkpoint(clip: DemoClip, folder: Path) -> tuple[Path, Path]:
    """Write the config JSON and the full checkpoint that open_clip reads; returns both paths."""
    config = folder / f"{clip.name}.json"
    config.write_text(json.dumps(clip.config), encoding="utf-8")
    weights = folder / f"{clip.name}.safetensors"
    save_file(expand(read_safetensors(clip.weights)[0]), weights)
    return config, weights


def expand(compact: dict[str, Tensor]) -> dict[str, Tensor]:
    """The full fp32 checkpoint from the shipped one, which keeps the used token rows in fp16.

    A word the world does not use has an all-zero row: it carries no meaning.
    """
    beside = (ROWS, BIAS, SCALE)
    tensors = {name: tensor.float() for name, tensor in compact.items() if name not in beside}
    table = torch.zeros(VOCABULARY, tensors[TABLE].shape[1])
    table[compact[ROWS].long()] = tensors[TABLE]
    return tensors | {TABLE: table}


def stored(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as it is shipped: fp16."""
    return {
        name: value.detach().half() if value.is_floating_point() else value
        for name, value in state.items()
    }


def pixels(images: Iterable[Image.Image]) -> Tensor:
    """[N, 3, 64, 64] as the model's own transform gives for pictures of just that size."""
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return normalise(stacked.permute(0, 3, 1, 2))


def normalise(raw: Tensor) -> Tensor:
    """Bytes [N, 3, 64, 64] to what the image tower takes."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return (raw.float() / 255 - mean) / std
