"""Our tower equals every library's own forward, with and without pseudo tokens."""

from __future__ import annotations

import pytest
import torch
from tiny_towers import NEW, TINY
from tower_case import PLACEHOLDER
from tower_cells import difference, parity

from rtd_adapters.clip.text import find_tower
from rtd_adapters.clip.text.families import FAMILIES
from rtd_adapters.errors import BackboneError

TOLERANCE = 1e-5


@pytest.mark.parametrize("placeholders", [0, 1, 3])
@pytest.mark.parametrize("name", TINY)
def test_embeddings_are_the_librarys_own(name, placeholders, case, tower):
    assert parity(case, tower, placeholders) <= TOLERANCE


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_texts_and_the_order_of_pseudo_tokens_make_a_difference(name, case, tower):
    """Else equality would show little."""
    units = torch.nn.functional.normalize(case.encode(case.ids()), dim=-1)
    alike = (units @ units.T).fill_diagonal_(0)
    assert alike.max() < 0.999
    ids = case.ids(3)
    pseudo = torch.randn(len(ids), 3, tower.config.width)
    there, back = (tower(ids, tokens, PLACEHOLDER) for tokens in (pseudo, pseudo.flip(1)))
    assert (there - back).abs().max() > 1e-3 * there.abs().max()


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_padding_is_cut_where_nothing_looks_at_it(name, case, tower):
    ids = case.ids()[:2]
    short = tower.trimmed(ids)
    assert difference(case, tower(short), case.encode(ids)) <= TOLERANCE
    assert (short.shape == ids.shape) == tower.config.fixed_length
    if tower.config.fixed_length:
        with pytest.raises(BackboneError, match="looks at padding and reads exactly"):
            tower(ids[:, :-1])


@pytest.mark.parametrize("name", TINY)
def test_more_tokens_than_the_context_are_refused(name, case, tower):
    ids = case.ids()
    with pytest.raises(BackboneError, match=f"this tower reads {case.context_length}"):
        tower(torch.cat([ids, ids[:, -1:]], dim=1))


def test_every_family_is_among_them(fresh_case):
    found = {find_tower(fresh_case(name).model).family.name for name in [*TINY, *NEW]}
    assert found == {family.name for family in FAMILIES}
