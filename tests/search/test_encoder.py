"""The public encoder, against `embed_composed`, `embed_pictures` and the towers themselves."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from shaken_patches import shaken_patch

from rtd_adapters import (
    CompositionEncoder,
    EvaluationError,
    PatchError,
    Seen,
    TextEncoderPatch,
    TripletError,
    UsageError,
    embed_composed,
    embed_pictures,
    get_method,
    load_backbone,
    patched_tower,
)
from rtd_adapters.evaluation.benchmark import EvalQuery, load_benchmark
from rtd_adapters.evaluation.queries import QueryEmbedder, averaged
from rtd_adapters.evaluation.rivals import RIVALS

TEXTS = ["is red", "is blue and large", "has two stars", "is a green circle", ""]


@pytest.fixture(scope="module")
def pictures():
    benchmark = load_benchmark("demo")
    return [benchmark.open_image(image) for image in benchmark.parts[0].gallery[:5]]


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("demo")


@pytest.fixture(scope="module")
def patch(backbone):
    return shaken_patch(backbone, 0.01)


@pytest.fixture(scope="module")
def encoder(patch):
    return CompositionEncoder.load("searle", patch=patch, device="cpu")


@pytest.mark.parametrize("name", ["searle", "fti4cir", "context_i2w"])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_composed_queries_are_those_of_evaluation(name, strength, patch, pictures):
    encoder = CompositionEncoder.load(name, patch=patch, strength=strength, device="cpu")
    tower = patched_tower(encoder.backbone, patch, strength)
    wanted = embed_composed(
        encoder.method, encoder.projection, encoder.backbone, pictures, TEXTS, tower=tower
    )
    found = encoder.encode_composed(pictures, TEXTS)
    assert found.dtype == np.float32
    assert np.array_equal(found, wanted.numpy())
    assert np.array_equal(encoder.encode_composed(encoder.see(pictures), TEXTS), found)


def test_a_strength_changes_composed_queries_and_nothing_else(encoder, pictures):
    base = encoder.at(0)
    assert base.strength == 0 and encoder.strength == 1
    composed = [e.encode_composed(pictures, TEXTS) for e in (base, encoder.at(0.5), encoder)]
    assert len({array.tobytes() for array in composed}) == 3
    assert np.array_equal(encoder.encode_texts(TEXTS), base.encode_texts(TEXTS))
    assert np.array_equal(encoder.encode_images(pictures), base.encode_images(pictures))


def test_pictures_and_plain_texts_are_those_of_the_bare_backbone(encoder, backbone, pictures):
    seen = embed_pictures(backbone, pictures)
    assert torch.equal(encoder.see(pictures).embedding, seen)
    assert np.array_equal(encoder.encode_images(pictures), F.normalize(seen, dim=-1).numpy())
    plain = F.normalize(backbone.tower(backbone.tower.tokenizer().encode(TEXTS)), dim=-1)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), plain.numpy(), atol=1e-6)


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_rivals_are_those_of_evaluation(rival, encoder, pictures):
    seen = encoder.see(pictures)
    asked = [EvalQuery(str(row), str(row), (text,), ()) for row, text in enumerate(TEXTS)]
    embedder = QueryEmbedder(encoder.method, encoder.projection)
    wanted = averaged(embedder.sides(encoder.backbone.tower, asked, seen.embedding), rival)
    found = encoder.at(0).encode_composed(seen, TEXTS, way=rival)
    assert np.array_equal(found, wanted.numpy())


@pytest.mark.parametrize("size", [1, 2, 3, 64])
def test_batches_of_any_size(size, encoder, pictures):
    whole = encoder.encode_composed(pictures, TEXTS)
    parts = encoder.encode_composed(pictures, TEXTS, batch_size=size)
    np.testing.assert_allclose(parts, whole, atol=2e-6)
    images = encoder.encode_images(pictures, batch_size=size)
    np.testing.assert_allclose(images, encoder.encode_images(pictures), atol=2e-6)
    texts = encoder.encode_texts(TEXTS, batch_size=size)
    np.testing.assert_allclose(texts, encoder.encode_texts(TEXTS), atol=2e-6)
    seen = encoder.see(pictures, batch_size=size).embedding
    torch.testing.assert_close(seen, encoder.see(pictures).embedding)


def test_pictures_are_opened_batch_by_batch(encoder, pictures, monkeypatch):
    opened, seen = 0, []

    def opening():
        nonlocal opened
        for picture in pictures:
            opened += 1
            yield picture

    plain = encoder._transform
    monkeypatch.setattr(encoder, "_transform", lambda image: seen.append(opened) or plain(image))
    found = encoder.encode_images(opening(), batch_size=2)
    assert seen == [2, 2, 4, 4, 5]
    np.testing.assert_allclose(found, encoder.encode_images(pictures), atol=2e-6)


def test_nothing_is_a_batch_too(encoder):
    for found in (
        encoder.encode_images([]),
        encoder.encode_texts([]),
        encoder.encode_composed([], []),
        encoder.see([]).embedding.numpy(),
    ):
        assert found.shape == (0, encoder.embed_dim)


def test_tensors_on_request(encoder, pictures):
    for found, same in (
        (encoder.encode_images(pictures, convert_to_tensor=True), encoder.encode_images(pictures)),
        (encoder.encode_texts(TEXTS, convert_to_tensor=True), encoder.encode_texts(TEXTS)),
        (
            encoder.encode_composed(pictures, TEXTS, convert_to_tensor=True),
            encoder.encode_composed(pictures, TEXTS),
        ),
    ):
        assert torch.is_tensor(found)
        assert np.array_equal(found.numpy(), same)


def test_pictures_need_not_be_in_rgb(encoder, pictures, monkeypatch):
    grey = pictures[0].convert("L")
    same = grey.convert("RGB")
    assert np.array_equal(encoder.encode_images([grey]), encoder.encode_images([same]))
    shown = []

    def strict(image):
        shown.append(image.mode)
        return torch.zeros(3, 64, 64)

    monkeypatch.setattr(encoder.backbone, "preprocess", strict)
    other = CompositionEncoder(encoder.method, encoder.projection, encoder.backbone)
    other.encode_images([pictures[0].convert("CMYK"), grey, same])
    assert shown == ["RGB"] * 3


@pytest.mark.parametrize("side", ["images", "texts", "composed"])
def test_what_is_not_finite_is_refused(side, encoder, pictures):
    """As fp16 makes of large activations."""
    broken = load_backbone("demo")
    with torch.no_grad():
        if side == "images":
            for parameter in broken.model.parameters():
                parameter.fill_(torch.nan)
        else:
            broken.tower.text_projection.fill_(torch.nan)
    lame = CompositionEncoder(encoder.method, encoder.projection, broken)
    ask = {
        "images": lambda: lame.encode_images(pictures),
        "texts": lambda: lame.encode_texts(TEXTS),
        "composed": lambda: lame.encode_composed(Seen.of(encoder.see(pictures).embedding), TEXTS),
    }
    with pytest.raises(EvaluationError, match="an embedding that is not finite"):
        ask[side]()


@pytest.mark.parametrize("name", ["searle", "context_i2w"])
def test_threads_find_what_one_finds(name, patch, pictures):
    """Eight threads, each with queries and a strength of its own, all at once, several times."""
    encoder = CompositionEncoder.load(name, patch=patch, device="cpu")
    jobs = [(row % 5, (0.0, 0.25, 1.0)[row % 3]) for row in range(24)]

    def ask(row, strength):
        one = encoder.at(strength)
        shown, text = pictures[row : row + 2], TEXTS[row : row + 2]
        composed = one.encode_composed(shown, text)
        return composed.tobytes() + one.encode_texts(text).tobytes()

    wanted = [ask(*job) for job in jobs]
    found = [b""] * len(jobs)
    start = threading.Barrier(8)

    def work(first):
        start.wait()
        for place in range(first, len(jobs), 8):
            found[place] = ask(*jobs[place])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted
    assert len(set(wanted)) > 5


def test_few_towers_are_kept(encoder):
    import gc
    import weakref

    towers = [weakref.ref(encoder.at(step / 10).tower) for step in range(1, 10)]
    gc.collect()
    assert sum(tower() is not None for tower in towers) == 4
    assert encoder.at(0.9).tower is towers[-1]()
    assert encoder.at(0).tower is encoder.backbone.tower


@pytest.mark.parametrize("half", ["bf16", "fp16"])
def test_half_precision(half, encoder, patch, pictures):
    coarse = CompositionEncoder.load(
        "searle", patch=patch, device="cpu", precision=half, text_precision=half
    )
    for found, exact in (
        (coarse.encode_images(pictures), encoder.encode_images(pictures)),
        (coarse.encode_texts(TEXTS), encoder.encode_texts(TEXTS)),
        (coarse.encode_composed(pictures, TEXTS), encoder.encode_composed(pictures, TEXTS)),
    ):
        assert found.dtype == np.float32
        assert not np.array_equal(found, exact)
        assert (found * exact).sum(1).min() > 0.999
    images = CompositionEncoder.load("searle", patch=patch, device="cpu", precision=half)
    assert np.array_equal(images.encode_texts(TEXTS), encoder.encode_texts(TEXTS))


def test_kept_embeddings_ask_as_their_pictures(encoder, pictures):
    kept = encoder.see(pictures).embedding.numpy()
    kept.flags.writeable = False
    found = encoder.encode_composed(Seen.of(kept), TEXTS)
    assert np.array_equal(found, encoder.encode_composed(pictures, TEXTS))
    tensors = encoder.encode_composed(Seen.of(torch.from_numpy(kept.copy())), TEXTS)
    assert np.array_equal(tensors, found)


def test_kept_units_are_refused(encoder, pictures):
    units = encoder.encode_images(pictures)
    with pytest.raises(UsageError, match="are normalised, and searle reads them as demo"):
        encoder.encode_composed(Seen.of(units), TEXTS)


def test_units_are_taken_from_a_tower_that_makes_units(encoder, backbone, pictures, monkeypatch):
    import copy

    own = load_backbone("demo")
    plain = own.model.encode_image
    monkeypatch.setattr(
        own.model, "encode_image", lambda pixels: F.normalize(plain(pixels), dim=-1)
    )
    normalising = CompositionEncoder(encoder.method, copy.deepcopy(encoder.projection), own)
    units = normalising.encode_images(pictures)
    found = normalising.encode_composed(Seen.of(units), TEXTS)
    np.testing.assert_allclose(found, normalising.encode_composed(pictures, TEXTS), atol=1e-5)
    monkeypatch.setattr(own.model, "encode_image", None)  # what is known is not looked at again
    np.testing.assert_array_equal(found, normalising.at(0).encode_composed(Seen.of(units), TEXTS))


def test_states_cannot_be_made_of_embeddings(pictures):
    encoder = CompositionEncoder.load("fti4cir", device="cpu")
    kept = Seen.of(encoder.see(pictures).embedding)
    with pytest.raises(UsageError, match="fti4cir reads an image tower's states"):
        encoder.encode_composed(kept, TEXTS)


def test_prompts(encoder, pictures):
    assert encoder.prompts(["is $ red"]) == ["a photo of $ that is  red"]
    assert encoder.prompts(["is red"], pictures[:1]) == ["a photo of $ that is red"]
    several = CompositionEncoder.load("fti4cir", device="cpu")
    (declared,), (asked,) = several.prompts(["is red"]), several.prompts(["is red"], pictures[:1])
    assert declared == "a photo of * with * but is red"
    assert asked.startswith("a photo of * with *") and asked.endswith(" but is red")


def test_what_cannot_be(encoder, backbone, pictures, patch):
    with pytest.raises(UsageError, match="Unknown precision 'int8'"):
        CompositionEncoder.load("searle", precision="int8")
    with pytest.raises(UsageError, match="Unknown precision 'fp8'"):
        CompositionEncoder.load("searle", text_precision="fp8")
    with pytest.raises(UsageError, match="Unknown preprocessing"):
        CompositionEncoder.load("searle", preprocess="square")
    with pytest.raises(UsageError, match="Unknown device"):
        CompositionEncoder.load("searle", device="tpu")
    with pytest.raises(UsageError, match=r"strength 0\.5 is of a patch, and there is none"):
        CompositionEncoder.load("searle", device="cpu", strength=0.5)
    with pytest.raises(UsageError, match="--strength is 2"):
        encoder.at(2)
    with pytest.raises(UsageError, match="5 reference pictures and 1 texts"):
        encoder.encode_composed(pictures, ["is red"])
    with pytest.raises(UsageError, match="must be a list of strings"):
        encoder.encode_texts("is red")
    with pytest.raises(UsageError, match="must be a list of strings"):
        encoder.encode_composed(pictures[:1], [None])
    with pytest.raises(UsageError, match="batch_size is 0"):
        encoder.encode_texts(["red"], batch_size=0)
    with pytest.raises(UsageError, match=r"must be \[B, embed_dim\]"):
        Seen.of(np.ones(4))
    with pytest.raises(TripletError, match="lost its placeholder"):
        method = get_method("searle").configured({})
        method.composed_prompt = "{text} $"
        CompositionEncoder(method, encoder.projection, backbone).encode_composed(
            pictures[:1], ["red " * 100]
        )
    other = TextEncoderPatch.create("full", load_backbone("demo-gap"), get_method("searle"))
    with pytest.raises(PatchError, match="trained for"):
        CompositionEncoder.load("searle", patch=other, device="cpu")
    assert CompositionEncoder.load("searle", device="cpu").strength == 0


def test_without_a_method(encoder, pictures):
    plain = CompositionEncoder.load(None, device="cpu")
    assert np.array_equal(plain.encode_texts(TEXTS), encoder.encode_texts(TEXTS))
    assert np.array_equal(plain.encode_images(pictures), encoder.encode_images(pictures))
    for asked in (lambda: plain.encode_composed(pictures, TEXTS), lambda: plain.prompts(TEXTS)):
        with pytest.raises(UsageError, match="has no method, so it composes no queries"):
            asked()


def test_the_image_tower_is_known_by_its_fingerprint(encoder):
    from rtd_adapters.clip.image_fingerprint import image_fingerprint

    assert encoder.at(0.5).image_fingerprint == image_fingerprint(encoder.backbone.model)
    other = CompositionEncoder.load("searle", backbone="demo-resnet", device="cpu")
    assert other.image_fingerprint != encoder.image_fingerprint


def test_one_computes_at_a_time(encoder, pictures, monkeypatch):
    """Tokenizers of other libraries may not be shared by threads that do not take turns."""
    tower, at_once, most = encoder.backbone.tower, 0, []
    plain = tower.forward

    def watched(*args):
        nonlocal at_once
        at_once += 1
        most.append(at_once)
        time.sleep(0.01)
        at_once -= 1
        return plain(*args)

    monkeypatch.setattr(tower, "forward", watched)
    base = encoder.at(0)
    asks = [base.encode_texts, lambda texts: base.encode_composed(pictures, texts)] * 4
    threads = [threading.Thread(target=ask, args=(TEXTS,)) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 8 and max(most) == 1


def test_other_preprocessing(encoder, patch):
    wide = Image.effect_noise((96, 32), 80).convert("RGB")
    padded = CompositionEncoder.load("searle", patch=patch, device="cpu", preprocess="targetpad")
    wanted = embed_pictures(encoder.backbone, [wide], preprocess="targetpad")
    assert torch.equal(padded.see([wide]).embedding, wanted)
    assert not torch.equal(encoder.see([wide]).embedding, wanted)
