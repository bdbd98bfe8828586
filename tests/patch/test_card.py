"""What a card's YAML says, read back by a YAML library."""

from __future__ import annotations

import pytest
import yaml

from rtd_adapters.patch.card import _quoted

QUOTED = ("true", "No", "NULL", "y", "1.5", "a: b", "a #b", "- a", "", "*", "\u00e9", "a b")
PLAIN = ("ViT-B-32/openai", "searle", "a.b_c-d", "x")


@pytest.mark.parametrize(
    "text",
    [*PLAIN, "true", "No", "NULL", "y", "1.5", "a: b", "a #b", "- a", "", "*", "\u00e9", "a b"],
)
def test_a_name_is_read_back_as_it_was(text):
    written = _quoted(text)
    assert yaml.safe_load(f"base_model: {written}") == {"base_model": text}
    assert (written == text) == (text in PLAIN)
