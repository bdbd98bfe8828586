"""The built-in world: held-out things are held out, targets are right, weights load as any do."""

from __future__ import annotations

import random
from dataclasses import fields
from functools import lru_cache

import pytest
import torch

from rtd_adapters.demo import modifications, scenes
from rtd_adapters.demo.captions import caption, full_caption
from rtd_adapters.demo.models import CLIPS, GAP, RESNET, VIT
from rtd_adapters.demo.queries import DEV_SEED, FINAL_SEED, held_out_queries, seen_queries
from rtd_adapters.demo.render import draw
from rtd_adapters.demo.triplets import demo_triplets, training_changes


def differing(one, other):
    return {f.name for f in fields(one) if getattr(one, f.name) != getattr(other, f.name)}


def test_a_fifth_of_the_pairs_is_held_out_and_every_shape_and_colour_stays():
    assert len(scenes.HELD_OUT) == 16
    kept = {(s, c) for s in scenes.SHAPES for c in scenes.COLOURS} - scenes.HELD_OUT
    assert {shape for shape, _ in kept} == set(scenes.SHAPES)
    assert {colour for _, colour in kept} == set(scenes.COLOURS)


def test_training_never_shows_a_held_out_pair():
    changes = training_changes(random.Random(3))
    for scene, change in (next(changes) for _ in range(3000)):
        for shown in (scene, change.target):
            assert shown.pair not in scenes.HELD_OUT
            if shown.beside:
                assert (shown.beside.shape, shown.beside.colour) not in scenes.HELD_OUT


@pytest.mark.parametrize("family", scenes.FAMILIES)
def test_a_modification_changes_just_what_it_says(family):
    rng = random.Random(family)
    seen = 0
    while seen < 200:
        scene = scenes.draw_scene(rng)
        change = modifications.modify(scene, family, rng, held_out=bool(seen % 2))
        if change is None:
            continue
        seen += 1
        changed = differing(scene, change.target)
        if family in ("add", "remove", "side"):
            assert changed == {"beside"}
        elif family == "two":
            assert len(changed) == 2
        else:
            assert changed == {family}
        assert change.changed == changed
        for name in changed - {"beside", "count"}:
            assert getattr(change.target, name) in change.text


def test_phrasings_of_training_and_evaluation_are_disjoint():
    trained = {row.conditioning for row in demo_triplets(5000, 0)}
    asked = set(held_out_queries().texts)
    assert len(trained) > 500
    assert len(asked) > 300
    assert not trained & asked


@pytest.mark.parametrize("queries", [held_out_queries, seen_queries])
def test_query_sets_are_sound(queries):
    found = queries(DEV_SEED, 20)
    assert len(found.texts) == 200
    assert len(set(found.gallery)) == len(found.gallery)
    for reference, target, family in zip(
        found.references, found.targets, found.families, strict=True
    ):
        changed = differing(found.gallery[reference], found.gallery[target])
        assert len(changed) == (2 if family == "two" else 1)
        look_alikes = [
            scene
            for scene in found.gallery
            if len(differing(scene, found.gallery[target])) == 1
            and scene != found.gallery[reference]
        ]
        assert look_alikes
    held = [found.gallery[target].pair in scenes.HELD_OUT for target in found.targets]
    assert all(held) if queries is held_out_queries else not any(held)


def test_everything_follows_from_the_seed():
    scene = scenes.draw_scene(random.Random(1))
    assert draw(scene, 7).tobytes() == draw(scene, 7).tobytes()
    assert draw(scene, 7).tobytes() != draw(scene, 8).tobytes()
    assert demo_triplets(50, 3) == demo_triplets(50, 3)
    assert demo_triplets(50, 3) != demo_triplets(50, 4)
    assert held_out_queries.__wrapped__(FINAL_SEED, 5) == held_out_queries.__wrapped__(
        FINAL_SEED, 5
    )
    assert held_out_queries(DEV_SEED, 5).texts != held_out_queries(FINAL_SEED, 5).texts


def test_pictures_differ_with_every_attribute():
    rng = random.Random(0)
    for _ in range(100):
        scene = scenes.draw_scene(rng)
        change = modifications.modify(scene, rng.choice(scenes.FAMILIES), rng, held_out=False)
        if change:
            assert draw(scene, 5).tobytes() != draw(change.target, 5).tobytes()


@pytest.mark.parametrize("clip", (RESNET, VIT), ids=lambda clip: clip.name)
def test_a_shipped_clip_loads_as_any_open_clip_model(clip, tmp_path):
    import open_clip

    from rtd_adapters.demo.clip import load_demo_clip, pixels, write_checkpoint

    config, weights = write_checkpoint(clip, tmp_path)
    open_clip.add_model_config(config)
    model = open_clip.create_model(clip.name, pretrained=str(weights)).eval()
    ours, preprocess = load_demo_clip(clip)
    state = ours.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    images = [draw(scene, 0) for scene in held_out_queries(DEV_SEED, 2).gallery[:4]]
    assert torch.allclose(pixels(images), torch.stack([preprocess(i) for i in images]), atol=1e-6)


def test_words_of_the_world_have_rows_and_others_are_zero():
    from rtd_adapters.clip.text import Tokenizer
    from rtd_adapters.demo.clip import load_demo_clip

    table = load_demo_clip(RESNET)[0].token_embedding.weight
    tokenizer = Tokenizer(40)
    rng = random.Random(0)
    texts = [caption(scenes.draw_scene(rng), rng) for _ in range(500)]
    texts += held_out_queries().texts + [row.conditioning for row in demo_triplets(500, 0)]
    texts.append("a photo of $ that")
    used = tokenizer.encode(texts).unique()
    assert (table[used].abs().sum(1) > 0).all()
    assert table[tokenizer.encode(["zebra"])[0, 1]].abs().sum() == 0
    assert tokenizer.truncated == 0


@lru_cache(maxsize=1)
def scenes_with_captions():
    from rtd_adapters.clip.text import Tokenizer
    from rtd_adapters.demo.clip import pixels

    rng = random.Random(11)
    drawn = list(dict.fromkeys(scenes.draw_training_scene(rng) for _ in range(300)))
    images = pixels(draw(scene, i) for i, scene in enumerate(drawn))
    return images, Tokenizer(40).encode([full_caption(scene, rng) for scene in drawn])


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_embeddings_have_norm_ten_and_captions_find_their_pictures(clip):
    import torch.nn.functional as F

    from rtd_adapters.demo.clip import load_demo_clip

    model, _ = load_demo_clip(clip)
    images, ids = scenes_with_captions()
    with torch.no_grad():
        image, text = model.encode_image(images), model.encode_text(ids)
    assert image.norm(dim=-1).mean() == pytest.approx(10, abs=1)
    assert text.norm(dim=-1).mean() == pytest.approx(10, abs=1)
    best = (F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T).argmax(1)
    assert (best == torch.arange(len(images))).float().mean() > 0.8  # chance is 0.003


def test_the_worlds_differ_in_their_image_towers_alone():
    from rtd_adapters.demo.clip import load_demo_clip

    resnet, vit = (load_demo_clip(clip)[0].state_dict() for clip in (RESNET, VIT))
    shared = {name for name in resnet if not name.startswith("visual.")}
    assert shared == {name for name in vit if not name.startswith("visual.")}
    assert all(torch.equal(resnet[name], vit[name]) for name in shared)
    assert vit["visual.positional_embedding"].shape[0] == 65  # CLS and 64 patches


def test_the_modality_gap_is_clips_where_it_is_made_so():
    """Centroids by hand; pictures and the texts' neighbourhoods stay as they are."""
    from rtd_adapters.demo.clip import load_demo_clip
    from rtd_adapters.demo.gap import DISTANCE

    images, ids = scenes_with_captions()
    gaps, pictures, between = [], [], []
    for clip in (VIT, GAP):
        model, _ = load_demo_clip(clip)
        with torch.no_grad():
            image, text = model.encode_image(images), model.encode_text(ids)
        centroids = [(rows / rows.norm(dim=1, keepdim=True)).mean(0) for rows in (image, text)]
        gaps.append((centroids[0] - centroids[1]).norm().item())
        pictures.append(image)
        distances = torch.cdist(text, text)
        between.append(distances / distances.mean())
    assert gaps[0] < 0.5
    assert gaps[1] == pytest.approx(DISTANCE, abs=0.03)
    assert torch.equal(*pictures)
    assert torch.allclose(*between, atol=1e-3)
