"""SigLIP and SigLIP 2 as transformers writes them: padding is looked at, the last place is read."""

from __future__ import annotations

from typing import Any

from rtd_adapters.clip.text.families import transformers_clip
from rtd_adapters.clip.text.families.family import Description, Family


def _describe(model: Any) -> Description:
    return {
        **transformers_clip.describe(model),
        "mask": "none",
        "pooling": "last",
        "projection": "linear",
    }


FAMILY = Family(
    "transformers SigLIP",
    found=transformers_clip.FOUND,
    types=("siglip_text_model", "siglip2_text_model"),
    layout=transformers_clip.HF,
    describe=_describe,
    encode=transformers_clip.encode,
    roots=transformers_clip.ROOTS,
    unused=transformers_clip.UNUSED,
)
