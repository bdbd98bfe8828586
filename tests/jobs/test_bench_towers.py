"""What is timed of towers that are not CLIP's: their own build, texts of CLIP's lengths."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters.clip.text import CLIP_BPE
from rtd_adapters.errors import BackboneError
from rtd_adapters.jobs.bench.cases import BenchCase
from rtd_adapters.jobs.bench.random_tower import random_tower
from rtd_adapters.jobs.bench.stepper import Stepper
from rtd_adapters.jobs.bench.texts import triplet_stream

SIZES = {"context_length": 30, "width": 32, "heads": 2, "layers": 1, "vocab_size": 900}
OTHERS = [
    {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    {"pool_type": "eos", "eos_id": 2},
    {"embed_cls": True},
]


@pytest.fixture
def written(tmp_path):
    """Writes a model config of open_clip."""

    def write(text):
        path = tmp_path / "other.json"
        text = SIZES | {"hf_tokenizer_name": "nowhere/at-all"} | text
        path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": {}, "text_cfg": text}))
        return str(path)

    return write


@pytest.mark.parametrize("text", OTHERS)
def test_both_engines_step_on_other_towers(text, written):
    backbone = written(text)
    batch = triplet_stream(4).batch(0)
    for engine in ("reference", "fast"):
        stepper = Stepper(BenchCase(backbone, "full", 4, engine), [batch])
        assert stepper.step(batch) > 0
        moved = stepper.towers.student.token_embedding.weight
        assert not torch.equal(moved, stepper.towers.frozen.token_embedding.weight)


def test_texts_are_as_long_as_clips_and_their_ids_are_in_the_table(written):
    tower = random_tower(written(OTHERS[1]))
    tokenizer = tower.tokenizer("$")
    texts = ["a dog", "three red stars & a $5 note", "zebra"]
    assert tokenizer.lengths(texts) == [len(CLIP_BPE.ids(text)) for text in texts]
    ids = tokenizer.encode_prompts(["a photo of $ that is red"])
    assert (ids == tokenizer.placeholder_id).sum() == 1
    assert ids.max() < 900
    assert (ids == 2).any()


def test_an_unknown_backbone_is_refused():
    with pytest.raises(BackboneError, match="no open_clip model"):
        random_tower("ViT-X")
