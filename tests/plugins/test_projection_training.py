"""What the plugins say of their projections' training: masked captions, losses, settings, files."""

from __future__ import annotations

import math
import random

import pytest
import torch

from rtd_adapters import BackboneShape, Described, Inverted, LessonBatch, get_method
from rtd_adapters.training.inversion import InversionSettings

SHAPE = BackboneShape(embed_dim=16, text_width=24, image_width=0)


class First:
    """Draws the first of everything."""

    choice = staticmethod(lambda pool: pool[0])


def masked(caption, *keywords):
    lincir = get_method("lincir")
    return lincir.projection_training.lesson(lincir, Described(caption, keywords), First()).prompt


@pytest.mark.parametrize(
    ("caption", "keywords", "prompt"),
    [
        ("a red dog on the grass", ("a red dog", "the grass"), "$ on $"),
        ("a dog's ball, a cat", ("a dog", "ball", "a cat"), "$ 's $ , $"),
        # every occurrence goes, within words too
        ("a man a plan", ("a man", "a", "plan"), "$ $ pl $ n"),
        # the first keyword that is not there literally ends it, with a random word
        ("a t-shirt and a dog", ("a t - shirt", "a dog"), "$ t-shirt $ nd $ dog"),
        ("blue sky over it, a dog", ("blue sky", "no such", "a dog"), "$ over it, a dog"),
        # no keyword at all
        ("running slowly", (), "$ slowly"),
        ("", (), "a photo of $"),
    ],
)
def test_lincirs_masks(caption, keywords, prompt):
    assert masked(caption, *keywords) == prompt


def test_where_no_mask_is_left_the_bare_prompt_is_asked():
    """The random word was masked already."""
    assert masked("a photo", "a photo") == "$"
    assert masked("dog", "cat") == "$"
    assert masked("dog house", "dog", "cat").count("$") == 1


def test_the_random_word_is_one_of_the_captions():
    lincir, words = get_method("lincir"), Described("walks beside under")
    seen = {
        lincir.projection_training.lesson(lincir, words, random.Random(seed)).prompt
        for seed in range(40)
    }
    assert seen == {"$ beside under", "walks $ under", "walks beside $"}


def test_the_losses_on_numbers_by_hand():
    made = Inverted(torch.zeros(2, 1, 1), torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    batch = LessonBatch(torch.tensor([[3.0, 0.0], [0.0, 5.0]]), logit_scale=math.log(9))
    lincir = get_method("lincir").projection_training.loss(made, batch)
    assert lincir.item() == pytest.approx((16 + 9) / 4)
    # cosines: picture 1 with text 1 0.6, with text 2 0; picture 2 with text 1 0.8, with text 2 1
    one, other = [9**0.6, 1], [9**0.8, 9]
    by_picture = -math.log(one[0] / sum(one)) - math.log(other[1] / sum(other))
    by_text = -math.log(one[0] / (one[0] + other[0])) - math.log(other[1] / (one[1] + other[1]))
    pic2word = get_method("pic2word").projection_training.loss(made, batch)
    assert pic2word.item() == pytest.approx((by_picture + by_text) / 4, rel=1e-5)


def test_published_settings():
    lincir, pic2word = (
        InversionSettings(**get_method(name).projection_training.published)
        for name in ("lincir", "pic2word")
    )
    assert (lincir.steps, lincir.batch_size, lincir.learning_rate) == (20_000, 512, 1e-4)
    assert (lincir.weight_decay, lincir.noise_scale, lincir.schedule) == (0.01, 1.0, "constant")
    assert (lincir.beta2, lincir.epsilon, lincir.decay_biases) == (0.999, 1e-8, True)
    assert (pic2word.batch_size, pic2word.learning_rate) == (1024, 1e-4)
    assert (pic2word.weight_decay, pic2word.decay_biases) == (0.1, False)
    assert (pic2word.beta2, pic2word.epsilon, pic2word.noise_scale) == (0.98, 1e-6, 0)
    assert (pic2word.warmup_steps, pic2word.schedule) == (10_000, "cosine")


@pytest.mark.parametrize("name", ["lincir", "pic2word", "searle"])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_written_projection_loads_again(name, ending, tmp_path):
    from rtd_adapters.methods.projection_files import about_projection, write_projection

    method, path = get_method(name), tmp_path / f"own.{ending}"
    projection = method.build_projection(SHAPE)
    write_projection(method, projection, {"method": name, "of": [1, 2]}, path)
    read = method.load_projection(path, SHAPE).state_dict()
    assert all(torch.equal(read[key], value) for key, value in projection.state_dict().items())
    assert about_projection(path) == {"method": name, "of": [1, 2]}


def test_what_upstream_scripts_read():
    """`train_phi.py` and `main.py` name the entries so."""
    tensors, clip = {"w": torch.ones(1)}, {"text_projection": torch.ones(2)}
    for name in ("lincir", "searle"):
        assert get_method(name).projection_checkpoint(tensors, clip) == {"epoch": 0, "Phi": tensors}
    pic2word = get_method("pic2word")
    assert pic2word.projection_checkpoint(tensors, None).keys() == {
        "epoch",
        "name",
        "state_dict_img2text",
    }
    assert pic2word.projection_checkpoint(tensors, clip)["state_dict"] == clip
