"""Every text tower that open_clip has a config for: computed exactly, or refused."""

from __future__ import annotations

import json

import open_clip
import pytest
from tiny_towers import COCA, MT5, ROBERTA_SIZES
from tower_builders import open_clip_case
from tower_case import WordIds
from tower_cells import parity
from transformers import M2M100Config, RobertaConfig, XLMRobertaConfig

from rtd_adapters.errors import BackboneError

SIZE = 400
SMALL = {"vocab_size": SIZE, "width": 32, "heads": 2, "layers": 1}
NLLB = M2M100Config(vocab_size=SIZE, d_model=32, encoder_layers=1, decoder_layers=1)
TEXT_MODELS = {
    "roberta": RobertaConfig(**ROBERTA_SIZES),
    "xlm-roberta": XLMRobertaConfig(**ROBERTA_SIZES),
    "google/mt5": MT5,
    "facebook/nllb": NLLB,
}


def variants() -> dict[str, list[str]]:
    """Text configs without their sizes -> the models that have them."""
    found: dict[str, list[str]] = {}
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        text = {k: v for k, v in config["text_cfg"].items() if k not in SMALL}
        text["custom_text"] = config.get("custom_text", False)
        text["quick_gelu"] = config.get("quick_gelu", False)
        text["coca"] = "multimodal_cfg" in config
        found.setdefault(json.dumps(text, sort_keys=True), []).append(name)
    return found


VARIANTS = variants()


@pytest.mark.parametrize("text", VARIANTS, ids=[names[0] for names in VARIANTS.values()])
def test_a_config_is_computed_exactly_or_refused(text):
    own = json.loads(text)
    config = {key: own.pop(key) for key in ("custom_text", "quick_gelu")}
    config |= COCA if own.pop("coca") else {}
    hub_name = own.pop("hf_model_name", "")
    text_model = next((m for name, m in TEXT_MODELS.items() if hub_name.startswith(name)), None)
    config["text_cfg"] = own if text_model else {**own, **SMALL}
    config["embed_dim"] = 32 if own.get("proj_type") == "none" else 24
    words = WordIds(SIZE, begin=SIZE - 2, end=own.get("eos_id", SIZE - 1))
    case = open_clip_case(VARIANTS[text][0], config, words, text_model)
    if text_model is NLLB:
        with pytest.raises(BackboneError, match="no model that can be patched"):
            case.tower()
        return
    assert max(parity(case, case.tower(), placeholders) for placeholders in (0, 2)) <= 1e-5


def test_the_configs_are_those_of_open_clip():
    assert sum(map(len, VARIANTS.values())) > 100
