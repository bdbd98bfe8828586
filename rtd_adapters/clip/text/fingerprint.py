"""Tells whether two text towers hold the same weights, whatever precision they are held in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from rtd_adapters.clip.precisions import PRECISIONS
from rtd_adapters.clip.text.tower import TextTower

State = Mapping[str, Tensor]


def fingerprint(state: State) -> dict[str, str]:
    """sha256 of a tower state, rounded to each of fp32, fp16 and bf16.

    It covers names, shapes and values; order, device and the state's own precision do not matter
    beyond the rounding.
    """
    return {precision: _digest(state, dtype) for precision, dtype in PRECISIONS.items()}


def same_tower(expected: Mapping[str, str], state: State) -> bool:
    """Whether `state` is the tower that `expected` is the fingerprint of.

    They are compared in the precision the state is held in. Weights held in fp32 that went through
    half precision count as half: LinCIR, RTD and OpenAI's `build_model` round them and then call
    `.float()`.
    """
    precision = _held_in(state)
    if expected[precision] == _digest(state, PRECISIONS[precision]):
        return True
    return precision == "fp32" and any(
        expected[half] == _digest(state, PRECISIONS[half])
        for half in ("fp16", "bf16")
        if _survives(state, PRECISIONS[half])
    )


def tower_identity(tower: TextTower) -> str:
    """sha256 of all that decides a tower's embeddings of texts: weights, build and vocabulary."""
    build = json.dumps(tower.config.to_dict(), sort_keys=True)
    weights = _digest(tower.state_dict(), torch.float32)
    return hashlib.sha256(f"{weights} {build} {tower.vocabulary.fingerprint}".encode()).hexdigest()


def _held_in(state: State) -> str:
    """The least precise of the tensors' dtypes."""
    dtypes = {tensor.dtype for tensor in state.values()}
    return next((name for name in ("bf16", "fp16") if PRECISIONS[name] in dtypes), "fp32")


def _survives(state: State, dtype: torch.dtype) -> bool:
    """Whether rounding to `dtype` leaves the matrices of all blocks as they are."""
    matrices = (t for name, t in state.items() if "resblocks" in name and t.dim() == 2)
    return all(torch.equal(tensor.to(dtype).to(tensor.dtype), tensor) for tensor in matrices)


def _digest(state: State, dtype: torch.dtype) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu", dtype).contiguous()
        digest.update(f"{name}{list(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
