"""Model configs and block numbers from outside: absurd sizes are refused before they are built."""

from __future__ import annotations

import json
import time

import open_clip
import pytest
import torch

from rtd_adapters.clip.backbones import backbone_shape, load_backbone
from rtd_adapters.clip.model_configs import read_model_config
from rtd_adapters.clip.text import from_layout, to_layout
from rtd_adapters.demo.models import RESNET
from rtd_adapters.errors import BackboneError, FileError


@pytest.fixture
def written(tmp_path):
    """Writes the built-in world's config with changes to one of its parts."""

    def write(part, **changes):
        config = json.loads(json.dumps(RESNET.config))
        (config[part] if part else config).update(changes)
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(config))
        return path

    return write


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("text_cfg", "layers", 10**7),
        ("text_cfg", "layers", -1),
        ("text_cfg", "layers", True),
        ("text_cfg", "layers", "12"),
        ("text_cfg", "layers", None),
        ("text_cfg", "width", 10**9),
        ("text_cfg", "width", 512.0),
        ("text_cfg", "heads", [8]),
        ("text_cfg", "vocab_size", 10**12),
        ("text_cfg", "context_length", 0),
        ("text_cfg", "mlp_ratio", "4"),
        ("text_cfg", "mlp_ratio", float("nan")),
        ("text_cfg", "mlp_ratio", 10**400),
        ("vision_cfg", "layers", [1, 1, 1, 10**7]),
        ("vision_cfg", "layers", []),
        ("vision_cfg", "image_size", 10**6),
        ("", "embed_dim", {}),
    ],
)
def test_a_size_that_makes_no_sense_is_named(part, key, value, written):
    path = written(part, **{key: value})
    with pytest.raises(FileError, match=rf"changed\.json: {part and part + '.'}{key} is "):
        load_backbone(str(path), "x")
    assert "changed" not in open_clip.list_models()


def test_sizes_that_are_absurd_together_are_refused(written):
    with pytest.raises(FileError, match=r"text_cfg asks for a tower of .* parameters"):
        backbone_shape(str(written("text_cfg", width=65536, layers=1000)))


@pytest.mark.parametrize("value", [None, [], "text", 3, {"embed_dim": 1, "vision_cfg": 1}])
def test_what_is_no_config_is_refused(value, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(value))
    with pytest.raises(FileError, match=r"other\.json is no open_clip model config"):
        load_backbone(str(path), "x")


def test_every_config_of_open_clip_is_accepted(tmp_path):
    path = tmp_path / "own.json"
    names = open_clip.list_models()
    assert len(names) > 50
    for name in names:
        path.write_text(json.dumps(open_clip.get_model_config(name)))
        assert {"embed_dim", "vision_cfg", "text_cfg"} <= read_model_config(path).keys()


@pytest.mark.parametrize("number", ["999999999", "9" * 5000, "40"])
@pytest.mark.parametrize("layout", ["openai", "open_clip_custom", "hf"])
def test_a_block_number_beyond_all_tensors_is_refused_at_once(layout, number, toy_tower):
    state = to_layout(toy_tower.state_dict(), layout)
    name = next(name for name in state if ".0." in name)
    state[name.replace(".0.", f".{number}.")] = torch.zeros(1)
    started = time.perf_counter()
    with pytest.raises(BackboneError, match=rf"{number[:20]}|lacks"):
        from_layout(state)
    assert time.perf_counter() - started < 5
