"""The tower's own promises: trimming, pseudo tokens, masks, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from rtd_adapters.clip.text import TextTower, TowerConfig
from rtd_adapters.clip.text.attention import Sight
from rtd_adapters.errors import BackboneError, TripletError

SOT, EOT, PLACEHOLDER = 58, 59, 9


@pytest.fixture
def tower():
    torch.manual_seed(0)
    config = TowerConfig(16, 2, 4, 12, "gelu", vocab_size=60, context_length=20)
    return TextTower(config).eval()


def padded(rows, length=20):
    ids = torch.zeros(len(rows), length, dtype=torch.int64)
    for row, words in enumerate(rows):
        ids[row, : len(words) + 2] = torch.tensor([SOT, *words, EOT])
    return ids


@pytest.mark.parametrize("seed", range(20))
def test_trimming_to_the_longest_text_changes_nothing(tower, seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 18, (6,), generator=generator).tolist()
    words = [torch.randint(10, 58, (n,), generator=generator).tolist() for n in lengths]
    for row in words[::2]:
        row[0] = PLACEHOLDER
    plain, pseudo_rows = padded(words), padded(words[::2])
    pseudo = torch.randn(3, 16, generator=generator)
    short = max(lengths) + 2
    with torch.no_grad():
        assert torch.allclose(tower(plain), tower(plain[:, :short]), atol=1e-6, rtol=0)
        whole = tower(pseudo_rows, pseudo, PLACEHOLDER)
        trimmed = tower(pseudo_rows[:, :short], pseudo, PLACEHOLDER)
    assert torch.allclose(whole, trimmed, atol=1e-6, rtol=0)


def test_what_stands_after_eot_does_not_matter(tower):
    ids = padded([[20, 21], [30]])
    other = ids.clone()
    other[:, 4:] = torch.tensor([EOT, 33] * 8)
    assert torch.allclose(tower(ids), tower(other), atol=1e-6, rtol=0)


def test_only_placeholders_are_replaced_and_each_takes_its_turn(tower):
    ids = padded([[20, PLACEHOLDER, 21, PLACEHOLDER], [PLACEHOLDER, 22]])
    pseudo = torch.randn(2, 3, 16)
    embedded, plain = tower.embed(ids, pseudo, PLACEHOLDER), tower.embed(ids)
    assert torch.equal(embedded[0, 2], pseudo[0, 0])
    assert torch.equal(embedded[0, 4], pseudo[0, 1])
    assert torch.equal(embedded[1, 1], pseudo[1, 0])
    kept = ids != PLACEHOLDER
    assert torch.equal(embedded[kept], plain[kept])


def test_one_pseudo_token_a_row_may_come_without_its_own_dimension(tower):
    ids, pseudo = padded([[PLACEHOLDER], [20, PLACEHOLDER]]), torch.randn(2, 16)
    found = tower(ids, pseudo, PLACEHOLDER)
    assert torch.equal(found, tower(ids, pseudo.unsqueeze(1), PLACEHOLDER))


def test_gradients_reach_the_pseudo_tokens_that_are_used_and_not_the_placeholder(tower):
    ids, pseudo = padded([[20, PLACEHOLDER, 21]]), torch.randn(1, 2, 16, requires_grad=True)
    tower(ids, pseudo, PLACEHOLDER).sum().backward()
    assert pseudo.grad is not None
    assert pseudo.grad[0, 0].abs().sum() > 0
    assert pseudo.grad[0, 1].abs().sum() == 0
    table = tower.token_embedding.weight.grad
    assert table[PLACEHOLDER].abs().sum() == 0
    assert table[20].abs().sum() > 0


def test_pooling_reads_the_projected_state_at_eot(tower):
    ids = padded([[20, 21, 22], [30]])
    states = tower.states(ids)
    assert states.shape == (2, 20, 16)
    expected = torch.stack([states[0, 4], states[1, 2]]) @ tower.text_projection
    assert torch.allclose(tower(ids), expected)


def test_a_causal_sight_is_a_triangular_mask(tower):
    x = torch.randn(2, 5, 16)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    found = tower.transformer(x, Sight(causal=True))
    assert torch.allclose(found, tower.transformer(x, Sight(mask=causal)), atol=1e-6)


def test_two_texts_packed_under_a_block_mask_equal_the_two_apart(tower):
    a, b = torch.randn(1, 3, 16), torch.randn(1, 4, 16)
    mask = torch.block_diag(torch.ones(3, 3).tril(), torch.ones(4, 4).tril()).bool()
    packed = tower.transformer(torch.cat([a, b], dim=1), Sight(mask=mask))
    causal = Sight(causal=True)
    apart = torch.cat([tower.transformer(a, causal), tower.transformer(b, causal)], dim=1)
    assert torch.allclose(packed, apart, atol=1e-6)


@pytest.mark.parametrize("words", [[20, 21], [PLACEHOLDER] * 3])
def test_too_few_or_too_many_placeholders_are_refused_by_row(tower, words):
    ids = padded([[PLACEHOLDER], words])
    with pytest.raises(TripletError, match=f"Text 1 .* {words.count(PLACEHOLDER)} placeholders"):
        tower(ids, torch.randn(2, 2, 16), PLACEHOLDER)


def test_a_placeholder_above_eot_is_refused_as_pooling_would_read_it(tower):
    ids = torch.tensor([[10, 57, 11, 50, 0]])  # EOT here is 50
    with pytest.raises(BackboneError, match="57 is not below EOT"):
        tower(ids, torch.randn(1, 16), 57)


@pytest.mark.parametrize("shape", [(2, 15), (1, 16), (2, 1, 17), (2, 1, 1, 16)])
def test_pseudo_tokens_that_do_not_fit_are_refused_with_both_sizes(tower, shape):
    ids = padded([[PLACEHOLDER], [PLACEHOLDER]])
    with pytest.raises(BackboneError, match=r"width 16 need \[2, K, 16\]"):
        tower(ids, torch.randn(shape), PLACEHOLDER)


def test_pseudo_tokens_without_a_placeholder_are_refused(tower):
    with pytest.raises(BackboneError, match="placeholder"):
        tower(padded([[PLACEHOLDER]]), torch.randn(1, 16))


def test_texts_longer_than_the_context_are_refused(tower):
    with pytest.raises(BackboneError, match="21 tokens; this tower reads 20"):
        tower(torch.zeros(1, 21, dtype=torch.int64))


def test_a_configuration_survives_json_and_defaults_its_mlp():
    config = TowerConfig(64, 3, 2, 48, "quick_gelu")
    assert config.mlp_width == 256
    assert TowerConfig.from_dict(config.to_dict() | {"later": 1}) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"activation": "relu"}, "'relu'.*quick_gelu, gelu, gelu_tanh"),
        ({"heads": 5}, "5 attention heads"),
        ({"heads": 0}, "0 attention heads"),
        ({"mask": "prefix"}, "Unknown mask 'prefix'.*causal, padding, none, coca"),
        ({"pooling": "eos"}, "eos_id"),
        ({"mask": "padding"}, "pad_id"),
        ({"position_rows": 76}, "76 position embeddings cannot read 77 tokens"),
        ({"eps": 0}, "eps"),
    ],
)
def test_an_impossible_configuration_is_refused(values, message):
    sizes = {"width": 64, "layers": 1, "heads": 2, "embed_dim": 8, "activation": "gelu"}
    with pytest.raises(BackboneError, match=message):
        TowerConfig(**sizes | values)


def test_a_configuration_that_lacks_a_size_is_refused():
    with pytest.raises(BackboneError, match="heads"):
        TowerConfig.from_dict({"width": 64, "layers": 1, "embed_dim": 8, "activation": "gelu"})


def test_importing_the_text_side_imports_no_model_library():
    code = (
        "import sys, rtd_adapters.clip.text; print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "torch" in loaded.stdout.split()
    assert not {"open_clip", "transformers", "peft"} & set(loaded.stdout.split())
