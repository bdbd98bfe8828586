"""Rebuilding the world's weights: the same for the same seed, and fit to take the shipped place."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from safetensors.torch import save_file

from rtd_adapters.demo import build, distil, pretrain, train_projection
from rtd_adapters.demo.clip import ROWS, expand, load_demo_clip, normalise, pixels
from rtd_adapters.demo.models import CLIPS, CONTEXT, RESNET, VIT
from rtd_adapters.demo.pairs import draw_pairs
from rtd_adapters.demo.projections import projection_path
from rtd_adapters.demo.render import draw
from rtd_adapters.demo.scenes import draw_training_scene
from rtd_adapters.io.checkpoints import read_safetensors
from rtd_adapters.methods.installed import get_method


@pytest.fixture(params=("resnet", "vit"))
def world(request, monkeypatch, tmp_path):
    """A world whose weights folder is our own, and recipes of seconds."""
    clip, make = build.WORLDS[request.param]
    moved = replace(clip, folder=tmp_path)
    monkeypatch.setitem(build.WORLDS, request.param, (moved, make))
    for recipe in (pretrain, distil):
        monkeypatch.setattr(recipe, "PAIRS", 40)
        monkeypatch.setattr(recipe, "PAIRS_A_BATCH", 20)
    monkeypatch.setattr(train_projection, "PICTURES", 512)
    monkeypatch.setattr(train_projection, "STEPS", 3)
    return moved, make


def rebuild(*arguments):
    outcome = CliRunner().invoke(build.build, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0


def made_of(clip, tensors):
    """open_clip's model of these tensors."""
    from open_clip.model import CLIP

    model = CLIP(**clip.config).eval()
    model.load_state_dict(expand(tensors), strict=True)
    return model


def mean_norm(model):
    rng = random.Random(5)
    images = pixels(draw(draw_training_scene(rng), i) for i in range(100))
    with torch.no_grad():
        return model.encode_image(images).norm(dim=-1).mean().item()


def test_training_follows_from_its_seed_and_ends_at_norm_ten(world):
    clip, make = world
    once, again, other = (make(seed, lambda line: None, steps=2) for seed in (0, 0, 1))
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert any(not torch.equal(once[name], other[name]) for name in once)
    assert mean_norm(made_of(clip, once)) == pytest.approx(10, rel=0.1)


def test_pretraining_in_a_small_vocabulary_equals_the_full_one(monkeypatch):
    """Trimmed texts over the compact table give what open_clip gives over the whole table."""
    monkeypatch.setattr(pretrain, "PAIRS", 40)
    monkeypatch.setattr(pretrain, "PAIRS_A_BATCH", 20)
    tensors = pretrain.pretrain(0, lambda line: None, steps=1)
    rows = tensors[ROWS]
    ids = pretrain.Tokenizer(CONTEXT).encode(["a red star", "two blue rings on white"])
    small = pretrain._small_vocabulary_model(len(rows)).eval()
    small.load_state_dict({name: value.float() for name, value in tensors.items() if name != ROWS})
    with torch.no_grad():
        ours = pretrain.encode_trimmed(small, torch.searchsorted(rows, pretrain.trimmed(ids)))
        assert (made_of(RESNET, tensors).encode_text(ids) - ours).norm(dim=-1).mean() < 1e-4


def test_a_student_learns_its_teachers_pictures_where_captions_say_nothing(monkeypatch):
    monkeypatch.setattr(distil, "PAIRS", 20)
    monkeypatch.setattr(distil, "PAIRS_A_BATCH", 20)
    monkeypatch.setattr(distil, "caption", lambda scene, rng: "a picture")
    student = made_of(VIT, distil.distil(0, lambda line: None, steps=40))
    images = normalise(draw_pairs(20, 0).images.flatten(0, 1))
    with torch.no_grad():
        theirs, ours = (
            F.normalize(model.encode_image(images), dim=-1)
            for model in (load_demo_clip(RESNET)[0], student)
        )
    own = (ours @ theirs.T).argmax(1) == torch.arange(len(images))
    assert own.float().mean() > 0.5  # chance is 0.025


def test_a_projection_is_rebuilt_alone_and_follows_from_its_seed(world):
    clip, make = world
    save_file(
        {n: t.contiguous() for n, t in make(0, lambda line: None, steps=1).items()}, clip.weights
    )
    path = clip.folder / "searle.safetensors"
    written = []
    for seed in ("0", "0", "1"):
        rebuild(
            "--world",
            "resnet" if clip.name == RESNET.name else "vit",
            "--projection",
            "searle",
            "--seed",
            seed,
        )
        written.append(path.read_bytes())
    assert written[0] == written[1] != written[2]
    assert {entry.name for entry in clip.folder.iterdir()} == {path.name, clip.weights.name}


@pytest.mark.parametrize("clip", (RESNET, VIT), ids=lambda clip: clip.name)
def test_a_shipped_bank_holds_pictures_and_their_own_captions(clip):
    """And they are those that the other projections were trained on."""
    banks, _ = read_safetensors(projection_path(clip, "keds"))
    pictures, captions = banks["image_bank"].float(), banks["text_bank"].float()
    own = (captions @ pictures.T).topk(10).indices == torch.arange(len(pictures))[:, None]
    assert own.any(1).float().mean() > 0.5  # chance is 0.01
    rng = random.Random(0)
    shown = [draw(draw_training_scene(rng), rng.randrange(1 << 30)) for _ in range(3)]
    with torch.no_grad():
        first = F.normalize(load_demo_clip(clip)[0].encode_image(pixels(shown)), dim=-1)
    torch.testing.assert_close(pictures[:3], first, rtol=0, atol=1e-3)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_the_shipped_projection_finds_its_own_picture(clip):
    model = load_demo_clip(clip)[0]
    method = get_method("searle")
    tower = train_projection.tower_from_model(model)
    shape = train_projection.demo_shape(model, tower)
    projection = method.load_projection(projection_path(clip, "searle"), shape)
    rng = random.Random(21)
    drawn = list(dict.fromkeys(draw_training_scene(rng) for _ in range(300)))
    tokenizer = method.tokenizer(tower)
    with torch.no_grad():
        image = model.encode_image(pixels(draw(s, i) for i, s in enumerate(drawn)))
        ids = tokenizer.encode_prompts([method.bare_prompt] * len(image))
        text = tower(ids, method.pseudo_tokens(projection, image), tokenizer.placeholder_id)
    best = (F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T).argmax(1)
    assert (best == torch.arange(len(drawn))).float().mean() > 0.8  # chance is 0.003
