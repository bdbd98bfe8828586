"""Rebuilding the world's weights: the same for the same seed, and fit to take the shipped place."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from rtd_adapters.demo import build, clip, pretrain, train_projection
from rtd_adapters.demo.projections import projection_path
from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import draw_training_scene
from rtd_adapters.methods.installed import get_method


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A weights folder of our own, and recipes of seconds."""
    monkeypatch.setattr(build, "WEIGHTS", tmp_path / "clip.safetensors")
    monkeypatch.setattr(pretrain, "PAIRS", 40)
    monkeypatch.setattr(pretrain, "PAIRS_A_BATCH", 20)
    monkeypatch.setattr(train_projection, "PICTURES", 512)
    monkeypatch.setattr(train_projection, "STEPS", 3)
    return tmp_path


def rebuild(*arguments):
    outcome = CliRunner().invoke(build.build, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0


def norms(tensors, encode):
    """Mean norm of what a model of these tensors makes of some scenes."""
    from open_clip.model import CLIP

    model = CLIP(**clip.CONFIG).eval()
    model.load_state_dict(clip.expand(tensors), strict=True)
    with torch.no_grad():
        return encode(model).norm(dim=-1).mean().item()


def test_pretraining_follows_from_its_seed_and_ends_at_norm_ten(folder):
    once, again, other = (pretrain.pretrain(seed, lambda line: None, steps=2) for seed in (0, 0, 1))
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(once[clip.TABLE], other[clip.TABLE])
    rng = random.Random(5)
    images = clip.pixels(draw(draw_training_scene(rng), i) for i in range(100))
    assert norms(once, lambda model: model.encode_image(images)) == pytest.approx(10, rel=0.1)


def test_pretraining_in_a_small_vocabulary_equals_the_full_one(folder):
    """Trimmed texts over the compact table give what open_clip gives over the whole table."""
    tensors = pretrain.pretrain(0, lambda line: None, steps=1)
    rows = tensors[clip.ROWS]
    ids = pretrain.Tokenizer(pretrain.CONTEXT).encode(["a red star", "two blue rings on white"])
    small = pretrain._small_vocabulary_model(len(rows)).eval()
    small.load_state_dict(
        {name: value.float() for name, value in tensors.items() if name != clip.ROWS}
    )
    length = int((ids > 0).sum(1).max())
    with torch.no_grad():
        ours = pretrain._encode_trimmed(
            small, torch.searchsorted(rows, ids[:, :length].contiguous())
        )
        assert norms(tensors, lambda model: model.encode_text(ids) - ours) < 1e-4


def test_a_projection_is_rebuilt_alone_and_follows_from_its_seed(folder):
    path = folder / "searle.safetensors"
    written = []
    for seed in ("0", "0", "1"):
        rebuild("--projection", "searle", "--seed", seed)
        written.append(path.read_bytes())
    assert written[0] == written[1] != written[2]
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_the_shipped_projection_finds_its_own_picture():
    model = clip.load_demo_clip()[0]
    method = get_method("searle")
    tower = train_projection.tower_from_model(model)
    shape = train_projection.demo_shape(model, tower)
    projection = method.load_projection(projection_path("searle"), shape)
    rng = random.Random(21)
    drawn = list(dict.fromkeys(draw_training_scene(rng) for _ in range(300)))
    tokenizer = method.tokenizer(tower.config.context_length)
    with torch.no_grad():
        image = model.encode_image(clip.pixels(draw(s, i) for i, s in enumerate(drawn)))
        ids = tokenizer.encode_prompts([method.bare_prompt] * len(image))
        text = tower(ids, method.pseudo_tokens(projection, image), tokenizer.placeholder_id)
    best = (F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T).argmax(1)
    assert (best == torch.arange(len(drawn))).float().mean() > 0.8  # chance is 0.003
