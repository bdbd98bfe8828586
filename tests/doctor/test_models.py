"""`rtd doctor` names the backbones that a file's tensors fit, and no other."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from rtd_adapters.doctor import examine


@pytest.fixture(params=["pt", "safetensors"])
def saved(request, tmp_path):
    def write(tensors):
        path = tmp_path / f"clip.{request.param}"
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        (save_file if request.param == "safetensors" else torch.save)(tensors, path)
        return path

    return write


def half(name):
    """A model's tensors, small on disk."""
    import open_clip

    return open_clip.create_model(name, precision="bf16").state_dict()


def named(path):
    return [command.split("--backbone ")[1].split()[0] for command in examine(path).commands]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-32", "RN50", "ViT-B-16"])
def test_the_model_and_its_twin_are_named(name, saved):
    path = saved(half(name))
    assert named(path) == [name, f"{name}-quickgelu"]
    assert "activation" in examine(path).traps[0]


def test_a_model_of_other_sizes_is_none(saved):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=1, width=64, head_width=32, patch_size=16, image_size=32)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=2, layers=1)
    finding = examine(saved(CLIP(32, vision, text).state_dict()))
    assert finding.commands == ()
    assert "no open_clip model has its sizes" in finding.traps[0]


def test_all_of_open_clips_models_name_themselves():
    """By the shapes that open_clip itself builds, without the memory for them."""
    import open_clip

    from rtd_adapters.doctor.models import fitting_models

    for name in ("ViT-B-32", "ViT-B-32-256", "ViT-L-14", "ViT-L-14-336", "ViT-H-14", "RN101"):
        config = open_clip.get_model_config(name)
        quick = config.pop("quick_gelu", False)
        with torch.device("meta"):
            model = open_clip.CLIP(**config, quick_gelu=quick)
        found = fitting_models({n: list(t.shape) for n, t in model.state_dict().items()})
        assert name in found
        assert all(other.startswith(name) for other in found), found


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("ViT-B-16-SigLIP2", {"ViT-B-16-SigLIP2-256", "ViT-B-16-SigLIP2-512"}),
        ("PE-Core-B-16", set()),
        ("convnext_base", set()),
    ],
)
def test_models_with_an_image_tower_of_timms_are_named_by_their_text_tower(name, others):
    """Text shapes as open_clip builds them; of the image tower a single name."""
    import open_clip
    from open_clip.model import CustomTextCLIP

    from rtd_adapters.doctor.models import fitting_models, same_text_towers

    config = open_clip.get_model_config(name)
    tiny = {"layers": 1, "width": 64, "image_size": 32, "patch_size": 16}
    with torch.device("meta"):
        model = CustomTextCLIP(config["embed_dim"], tiny, config["text_cfg"])
    shapes = {n: list(t.shape) for n, t in model.state_dict().items() if n.startswith("text.")}
    shapes["visual.trunk.stem.weight"] = [1]
    assert fitting_models(shapes) == []
    found = same_text_towers(shapes)
    assert {name, *others} <= set(found)
    assert "ViT-SO400M-14-SigLIP2" not in found
    assert same_text_towers({k: v for k, v in shapes.items() if "visual" not in k}) == []


def test_a_folder_says_what_model_it_holds(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    finding = examine(tmp_path)
    assert "siglip" in finding.what
    assert "no tokenizer" in finding.traps[0]
    assert f"--backbone {tmp_path}" in finding.commands[0]
    (tmp_path / "tokenizer.json").write_text("{}")
    assert examine(tmp_path).traps == ()
    (tmp_path / "config.json").write_text('{"model_type": "altclip"}')
    assert "'altclip'" in examine(tmp_path).traps[0]


def test_weights_of_a_folder_name_it(tmp_path):
    key = "text_encoder.embeddings.word_embeddings.weight"
    save_file({key: torch.ones(1)}, tmp_path / "model.safetensors")
    finding = examine(tmp_path / "model.safetensors")
    assert finding.layout == "blip"
    assert finding.commands == ()
    assert "--backbone from the folder" in finding.traps[0]
    (tmp_path / "config.json").write_text('{"model_type": "blip"}')
    assert f"--backbone {tmp_path}" in examine(tmp_path / "model.safetensors").commands[0]
