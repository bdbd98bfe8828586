"""TorchScript archives that hold tensors and no code: what OpenAI's `clip.load(PATH)` accepts.

`clip.load` hands one open file to `torch.jit.load` first and to `torch.load` after, and the second
finds it read to its end; so of all containers only TorchScript works (openai/CLIP, clip/clip.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rtd_adapters.io.atomic import whole_file


def write_torchscript(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a module tree whose state dict is `tensors`.

    Raises:
        FileError: the disk refuses; nothing is left half-written.
    """
    root = nn.Module()
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        _module_at(root, owner).register_buffer(leaf, tensor.detach().cpu().contiguous())
    with warnings.catch_warnings(), whole_file(path) as temporary:
        warnings.simplefilter("ignore")  # torch 2.14 calls script and save deprecated
        # Given a path, torch's own writer ends the process where the disk is full.
        with temporary.open("wb") as file:
            torch.jit.save(torch.jit.script(root), file)


def _module_at(root: nn.Module, path: str) -> nn.Module:
    module = root
    for name in path.split(".") if path else []:
        if name not in module._modules:
            module.add_module(name, nn.Module())
        module = module.get_submodule(name)
    return module
