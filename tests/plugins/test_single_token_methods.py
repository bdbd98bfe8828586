"""Pic2Word and LinCIR: prompts, and checkpoints as their own training scripts write them."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters import BackboneShape, get_method
from rtd_adapters.errors import BackboneError
from rtd_adapters.testing.towers import small_tower

SHAPE = BackboneShape(embed_dim=16, text_width=24, image_width=32)


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def random_weights(shapes):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) / 4 for name, shape in shapes.items()}


def im2text_weights(middle=512, blocks=2):
    """Pic2Word's names and shapes, written out by hand."""
    shapes = {"fc_out.weight": (24, middle), "fc_out.bias": (24,)}
    for block in range(blocks):
        shapes[f"layers.{block}.0.weight"] = (middle, middle if block else 16)
        shapes[f"layers.{block}.0.bias"] = (middle,)
    return random_weights(shapes)


@pytest.mark.parametrize(("middle", "blocks"), [(512, 2), (40, 3)])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pic2word_reads_a_training_checkpoint(tmp_path, prefix, middle, blocks):
    weights = im2text_weights(middle, blocks)
    path = tmp_path / "epoch_3.pt"
    torch.save(
        {
            "epoch": 3,
            "name": "run",
            "state_dict": {"module.logit_scale": torch.ones(())},
            "state_dict_img2text": {f"{prefix}{name}": value for name, value in weights.items()},
            "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        },
        path,
    )
    projection = get_method("pic2word").load_projection(path, SHAPE)
    x = torch.randn(5, 16)
    expected = x
    for block in range(blocks):
        expected = linear(weights, f"layers.{block}.0", expected).clamp(min=0)
    assert torch.allclose(projection(x), linear(weights, "fc_out", expected), atol=1e-5)
    assert not projection.training


def test_lincir_reads_a_training_checkpoint(tmp_path):
    shapes = {"layers.0.weight": (64, 16), "layers.3.weight": (64, 64), "layers.6.weight": (24, 64)}
    biases = {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items()}
    weights = random_weights(shapes | biases)
    path = tmp_path / "phi_best.pt"
    torch.save({"epoch": 20000, "Phi": weights}, path)
    projection = get_method("lincir").load_projection(path, SHAPE)
    x = torch.randn(5, 16)
    hidden = gelu(linear(weights, "layers.3", gelu(linear(weights, "layers.0", x))))
    assert torch.allclose(projection(x), linear(weights, "layers.6", hidden), atol=1e-6)


def test_pic2words_prompts_keep_their_placeholder():
    method = get_method("pic2word")
    tokenizer = method.tokenizer(small_tower())
    prompts = [method.composed_prompt.format(text="is red"), method.bare_prompt]
    ids = tokenizer.encode_prompts(prompts)
    assert tokenizer.placeholder_id == 265  # the id their encode functions look for
    assert (ids == 265).sum(dim=1).tolist() == [1, 1]
    assert prompts == ["a photo of * , is red", "a photo of *"]


@pytest.mark.parametrize(
    ("method", "other", "key"), [("pic2word", "lincir", "Phi"), ("lincir", "pic2word", "state")]
)
def test_another_methods_checkpoint_is_refused(tmp_path, method, other, key):
    projection = get_method(other).build_projection(SHAPE)
    path = tmp_path / "other.pt"
    torch.save({"Phi" if key == "Phi" else "state_dict_img2text": projection.state_dict()}, path)
    with pytest.raises(BackboneError, match=r"other\.pt"):
        get_method(method).load_projection(path, SHAPE)
