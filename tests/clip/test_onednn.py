"""Linear layers on oneDNN compute what float64 says, and nothing else is touched."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from rtd_adapters.clip import onednn
from rtd_adapters.clip.onednn import FastLinear, product_operations

needs_onednn = pytest.mark.skipif(
    onednn._gains() != onednn.EVERYTHING,
    reason="this processor leaves some fp32 products to PyTorch's own choice",
)


class Calls(TorchDispatchMode):
    """Counts the products that oneDNN computed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func._schema.name == "mkldnn::_linear_pointwise"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return torch.nn.Linear(96, 64)


def gradients(layer, x):
    """Output, and gradients of its weighted sum, in the layer's precision."""
    x = x.clone().requires_grad_()
    found = layer(x)
    weights = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).view(found.shape)
    return found, *torch.autograd.grad((found * weights).sum(), [x, *layer.parameters()])


@needs_onednn
@pytest.mark.parametrize("shape", [(50, 96), (3, 7, 96), (1, 96)])
def test_output_and_gradients_are_those_of_float64(layer, shape):
    x = torch.randn(shape)
    with Calls() as calls, FastLinear():
        found = gradients(layer, x)
    assert calls.count == 3, "the layer, and a gradient for its input and for its weight"
    for ours, exact in zip(found, gradients(layer.double(), x.double()), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - exact).norm() <= 1e-5 * exact.norm()


@needs_onednn
def test_with_avx2_alone_the_gradients_are_left_to_pytorch(layer, monkeypatch):
    monkeypatch.setattr(onednn, "_gains", lambda: onednn.FORWARD)
    x = torch.randn(50, 96)
    with Calls() as calls, FastLinear():
        found = gradients(layer, x)
    assert calls.count == 1
    for ours, exact in zip(found, gradients(layer.double(), x.double()), strict=True):
        assert (ours - exact).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize(
    ("capability", "gains"),
    [("AVX512", onednn.EVERYTHING), ("AVX2", onednn.FORWARD), ("DEFAULT", onednn.NOTHING)],
)
def test_what_it_gains_goes_by_the_processor(monkeypatch, capability, gains):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert onednn._gains.__wrapped__() == gains


@needs_onednn
def test_frozen_layers_cost_no_gradient(layer):
    layer.requires_grad_(False)
    x = torch.randn(5, 96, requires_grad=True)
    with Calls() as calls, FastLinear():
        layer(x).sum().backward()
    assert calls.count == 2


@needs_onednn
def test_a_block_that_is_computed_again_is_computed_alike(layer):
    x = torch.randn(5, 96, requires_grad=True)
    with Calls() as calls:
        checkpoint(FastLinear()(layer.forward), x, use_reentrant=False).sum().backward()
    assert calls.count == 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_left_alone(layer, dtype):
    layer, x = layer.to(dtype), torch.randn(5, 96, dtype=dtype)
    with Calls() as calls, FastLinear():
        inside = layer(x)
    assert calls.count == 0
    assert torch.equal(inside, layer(x))


def test_autocast_is_left_alone(layer):
    x = torch.randn(5, 96)
    with torch.autocast("cpu", torch.bfloat16), Calls() as calls, FastLinear():
        assert layer(x).dtype == torch.bfloat16
    assert calls.count == 0


def test_other_processors_are_left_alone(layer, monkeypatch):
    monkeypatch.setattr(onednn, "_gains", lambda: onednn.NOTHING)
    with Calls() as calls, FastLinear():
        layer(torch.randn(5, 96))
    assert calls.count == 0


@needs_onednn
def test_operations_are_counted_as_for_any_product(layer):
    x = torch.randn(50, 96)
    own = {torch.ops.mkldnn._linear_pointwise: product_operations}
    with FlopCounterMode(display=False) as plain:
        F.linear(x, layer.weight)
    with FlopCounterMode(display=False, custom_mapping=own) as ours, FastLinear():
        F.linear(x, layer.weight)
    assert ours.get_total_flops() == plain.get_total_flops() > 0
