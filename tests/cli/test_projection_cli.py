"""`rtd projection convert`: a checkpoint becomes a file that `rtd patch` takes."""

from __future__ import annotations

import json

import torch

from rtd_adapters import get_method
from rtd_adapters.clip.backbones import backbone_shape


def test_convert_then_patch(rtd, tmp_path):
    method = get_method("pic2word")
    projection = method.build_projection(backbone_shape("demo"))
    source, out = tmp_path / "epoch_1.pt", tmp_path / "pic2word.safetensors"
    torch.save({"epoch": 1, "state_dict_img2text": projection.state_dict()}, source)
    convert = ("projection", "convert", source, "--method", "pic2word", "--backbone", "demo")
    first = rtd(*convert, "--out", out, "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["shape"]["embed_dim"] == 128
    assert rtd(*convert, "--out", out).returncode == 1  # it exists already

    plan = rtd(
        *(
            "patch",
            "--method",
            "pic2word",
            "--projection",
            out,
            "--out",
            tmp_path / "w.safetensors",
        ),
        "--dry-run",
    )
    assert plan.returncode == 0, plan.stderr


def test_a_wrong_backbone_writes_nothing(rtd, tmp_path):
    projection = get_method("lincir").build_projection(backbone_shape("demo"))
    source, out = tmp_path / "phi_best.pt", tmp_path / "out.safetensors"
    torch.save({"epoch": 1, "Phi": projection.state_dict()}, source)
    outcome = rtd(
        *("projection", "convert", source, "--method", "lincir", "--backbone", "ViT-B-32"),
        *("--out", out),
    )
    assert outcome.returncode == 1
    assert "does not fit the backbone" in outcome.stderr
    assert list(tmp_path.iterdir()) == [source]
