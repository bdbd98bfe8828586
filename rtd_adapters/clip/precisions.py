"""The precisions that weights are kept in."""

from __future__ import annotations

import torch

from rtd_adapters.errors import UsageError

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def dtype_named(name: str) -> torch.dtype:
    """The torch dtype called fp32, fp16 or bf16.

    Raises:
        UsageError: it is called none of these.
    """
    if name not in PRECISIONS:
        raise UsageError(f"Unknown dtype {name!r}. Use one of {', '.join(PRECISIONS)}.")
    return PRECISIONS[name]
