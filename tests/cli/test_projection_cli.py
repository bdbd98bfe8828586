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


def test_a_projection_of_several_files_becomes_one(rtd, tmp_path):
    from rtd_adapters.io.checkpoints import read_safetensors

    made = get_method("keds").build_projection(backbone_shape("demo")).state_dict()
    for stream in ("image_stream", "text_stream"):
        parts = {
            f"state_dict_{part}": {
                name.removeprefix(f"{stream}.{part}."): tensor
                for name, tensor in made.items()
                if name.startswith(f"{stream}.{part}.")
            }
            for part in ("img2text", "retrieval_fuse", "text_condition")
        }
        torch.save(parts, tmp_path / f"{stream}.pt")
    for bank in ("image_bank", "text_bank"):
        torch.save(made[bank], tmp_path / f"{bank}.pt")
    chosen = [f"{name}={tmp_path / name}.pt" for name in ("text_stream", "image_bank", "text_bank")]
    done = rtd(
        *("projection", "convert", tmp_path / "image_stream.pt", "--method", "keds"),
        *(word for option in chosen for word in ("--method-option", option)),
        *("--backbone", "demo", "--out", tmp_path / "keds.safetensors", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["files"]) == {"text_stream", "image_bank", "text_bank"}
    written, _ = read_safetensors(tmp_path / "keds.safetensors")
    assert written.keys() == made.keys()
    assert all(torch.equal(written[name], made[name]) for name in made)
