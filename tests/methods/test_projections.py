"""Projection checkpoints fill a module key for key, or are refused in words."""

from __future__ import annotations

import pytest
import torch

from rtd_adapters import BackboneShape, get_method
from rtd_adapters.errors import BackboneError, FileError
from rtd_adapters.methods.projections import convert_projection, converted_for, open_projection

SHAPE = BackboneShape(embed_dim=16, text_width=24, image_width=32)


@pytest.fixture
def checkpoint(searle, tmp_path):
    """A SEARLE checkpoint with random weights, as their training script writes it."""
    path = tmp_path / "SEARLE_tiny.pt"
    torch.save({"epoch": 3, "Phi": searle.build_projection(SHAPE).state_dict()}, path)
    return path


def test_searle_reads_its_own_checkpoint_frozen_in_fp32(searle, checkpoint):
    projection = searle.load_projection(checkpoint, SHAPE)
    weights = torch.load(checkpoint, weights_only=True)["Phi"]
    x = torch.randn(5, 16)

    def linear(at, value):
        return value @ weights[f"layers.{at}.weight"].T + weights[f"layers.{at}.bias"]

    def gelu(value):
        return value * 0.5 * (1 + torch.erf(value / 2**0.5))

    expected = linear(6, gelu(linear(3, gelu(linear(0, x)))))
    assert torch.allclose(projection(x), expected, atol=1e-6)
    assert not projection.training
    assert not any(parameter.requires_grad for parameter in projection.parameters())


def test_fp16_and_data_parallel_checkpoints_load(searle, checkpoint, tmp_path):
    weights = torch.load(checkpoint, weights_only=True)["Phi"]
    path = tmp_path / "half.pt"
    torch.save({"Phi": {f"module.{name}": value.half() for name, value in weights.items()}}, path)
    projection = searle.load_projection(path, SHAPE)
    assert all(parameter.dtype == torch.float32 for parameter in projection.parameters())


def test_a_width_that_does_not_fit_names_both_numbers(searle, checkpoint):
    with pytest.raises(BackboneError, match=r"\[64, 16\].*\[48, 12\]"):
        searle.load_projection(checkpoint, BackboneShape(12, 24, 32))


def test_another_methods_checkpoint_is_refused(searle, tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"Phi": {"fc_out.weight": torch.zeros(2, 2)}}, path)
    with pytest.raises(
        BackboneError, match=r"missing layers\.0\.weight.* and 3 more.*unknown fc_out"
    ):
        searle.load_projection(path, SHAPE)
    torch.save({"epoch": 1, "state_dict_img2text": "nothing"}, path)
    with pytest.raises(BackboneError, match="'Phi'; it holds: epoch, state_dict_img2text"):
        searle.load_projection(path, SHAPE)


def test_damaged_files_are_refused(searle, checkpoint, tmp_path):
    with pytest.raises(FileError, match=r"absent\.pt"):
        searle.load_projection(tmp_path / "absent.pt", SHAPE)
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(FileError, match="SEARLE_tiny"):
        searle.load_projection(checkpoint, SHAPE)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(searle, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / "bomb.pt"
    torch.save({"Phi": Bomb()}, path)
    with pytest.raises(FileError, match=r"bomb\.pt"):
        searle.load_projection(path, SHAPE)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_method_names_both(searle, tmp_path):
    pic2word = get_method("pic2word")
    path = tmp_path / "pic2word.pt"
    torch.save({"state_dict_img2text": pic2word.build_projection(SHAPE).state_dict()}, path)
    with pytest.raises(BackboneError, match=r"checkpoint of pic2word, not of searle"):
        open_projection(searle, path, SHAPE, [searle, pic2word])


def test_a_converted_projection_computes_the_same(searle, checkpoint, tmp_path):
    out = tmp_path / "searle.safetensors"
    metadata = convert_projection(searle, checkpoint, SHAPE, "tiny", out)
    assert metadata["source"] == "SEARLE_tiny.pt"
    x = torch.randn(3, 16)
    before, after = (searle.load_projection(path, SHAPE)(x) for path in (checkpoint, out))
    assert torch.equal(before, after)


def test_a_converted_projection_knows_its_method(searle, checkpoint, tmp_path):
    """SEARLE's and LinCIR's networks are the same; only the metadata tells them apart."""
    out = tmp_path / "searle.safetensors"
    convert_projection(searle, checkpoint, SHAPE, "tiny", out)
    assert converted_for(out) == "searle"
    with pytest.raises(BackboneError, match="projection of searle, not of lincir"):
        open_projection(get_method("lincir"), out, SHAPE)
