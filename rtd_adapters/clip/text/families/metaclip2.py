"""MetaCLIP 2 as transformers writes it: CLIP read at the first end of text, whatever its id."""

from __future__ import annotations

from typing import Any

from rtd_adapters.clip.text.families import transformers_clip
from rtd_adapters.clip.text.families.family import Description, Family
from rtd_adapters.clip.text.families.reading import end_of_text


def _describe(model: Any) -> Description:
    config = model.text_model.config
    end = end_of_text(config.eos_token_id, config.vocab_size)
    return {**transformers_clip.describe(model), **end}


FAMILY = Family(
    "transformers MetaCLIP 2",
    found=transformers_clip.FOUND,
    types=("metaclip_2_text_model",),
    layout=transformers_clip.HF,
    describe=_describe,
    encode=transformers_clip.encode,
    roots=transformers_clip.ROOTS,
    unused=transformers_clip.UNUSED,
)
