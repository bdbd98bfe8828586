"""The families of text towers that rtd knows, one file each, and the layouts they come in."""

from __future__ import annotations

from rtd_adapters.clip.text.families import (
    blip,
    blip2,
    metaclip2,
    mt5,
    open_clip,
    roberta,
    siglip,
    transformers_clip,
)
from rtd_adapters.clip.text.families.family import Family
from rtd_adapters.clip.text.layout import Layout

FAMILIES: tuple[Family, ...] = (
    transformers_clip.FAMILY,
    siglip.FAMILY,
    metaclip2.FAMILY,
    blip.FAMILY,
    blip2.FAMILY,
    roberta.FAMILY,
    mt5.FAMILY,
    open_clip.CUSTOM,
    open_clip.PLAIN,
)

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        open_clip.OPENAI,
        open_clip.OPEN_CLIP_CUSTOM,
        transformers_clip.HF,
        blip.LAYOUT,
        blip2.LAYOUT,
        roberta.LAYOUT,
        mt5.LAYOUT,
    )
}
"""By name."""
