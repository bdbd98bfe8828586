"""Linear layers through oneDNN, where PyTorch's own choice for fp32 on a CPU is a slower library.

PyTorch hands fp32 products to MKL, which leaves half of an AMD processor's AVX-512 unused; oneDNN,
which comes with PyTorch too, does not. With AVX2 alone oneDNN is the faster one for x @ weight.T,
by a tenth or more, and for some widths by far the slower one for the gradients' products
(examples/benchmarks/products.py compares them). Both round in fp32 and differ in the order of
summation. Our own idea; the paper's script leaves it to PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

EVERYTHING, FORWARD, NOTHING = "everything", "forward", "nothing"
"""What oneDNN computes: gradients too, x @ weight.T alone, or neither."""
POINTWISE = "_linear_pointwise"


class FastLinear(TorchFunctionMode, ContextDecorator):
    """Inside this context fp32 linear layers run on oneDNN, on CPUs where that pays.

    So do the gradients of what was computed inside, wherever they are taken. Other devices,
    precisions and processors compute as ever.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace `F.linear`; leave the rest."""
        kwargs = kwargs or {}
        if func is F.linear and _gains() != NOTHING and _in_fp32(*args, **kwargs):
            return _linear(*args, **kwargs)
        return func(*args, **kwargs)


class _Linear(torch.autograd.Function):
    """x @ weight.T + bias for x [N, in] and weight [out, in]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        multiply = product if _gains() == EVERYTHING else F.linear
        return (
            multiply(gradient, weight.t()) if for_x else None,
            multiply(gradient.t(), x.t()) if for_weight else None,
            gradient.sum(0) if for_bias else None,
        )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[N, out] from x [N, in] and weight [out, in] by oneDNN, without autograd."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def product_operations(x: Any, weight: Any, *_: Any, **__: Any) -> int:
    """Floating-point operations of `product`, from its operands' shapes, for a FLOP counter."""
    return 2 * x[0] * x[1] * weight[0]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rows: Any = _Linear.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    return rows.view(*x.shape[:-1], weight.shape[0])


def _in_fp32(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether the layer computes in fp32 on a CPU."""
    on_cpu = x.device.type == weight.device.type == "cpu"
    in_fp32 = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return on_cpu and in_fp32 and x.numel() > 0


@cache
def _gains() -> str:
    """Which products oneDNN is never the slower one for, on this processor.

    A rule, not a timing: the choice decides the last bits, so one machine must always choose alike.
    """
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, POINTWISE)):
        return NOTHING
    return {"AVX512": EVERYTHING, "AVX2": FORWARD}.get(
        torch.backends.cpu.get_cpu_capability(), NOTHING
    )
