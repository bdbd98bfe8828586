"""Captions as the rules see them."""

from __future__ import annotations

import pytest

from rtd_adapters.triplets.language.company import Company
from rtd_adapters.triplets.language.kinds import read_kinds
from rtd_adapters.triplets.language.tokens import tokens
from rtd_adapters.triplets.rules.changes import apply_edits
from rtd_adapters.triplets.rules.swaps import swaps


@pytest.fixture(scope="session")
def kinds():
    """The built-in list."""
    return read_kinds()


@pytest.fixture(scope="session")
def read(kinds):
    """The tokens of a caption."""
    return lambda caption: tokens(caption, kinds)


@pytest.fixture(scope="session")
def company_of(kinds, read):
    """Counts of a corpus."""
    return lambda captions: Company(kinds).count(read(caption) for caption in captions)


@pytest.fixture(scope="session")
def swapped(kinds, read, company_of):
    """All that may become of a caption by one swap, in a corpus that it is added to."""

    def swapped(caption, corpus):
        company = company_of([caption, *corpus])
        found = swaps(read(caption), kinds, company)
        return {apply_edits(caption, [swap.edit]) for swap in found}

    return swapped
