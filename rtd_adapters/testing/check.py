"""All checks of a method, in the order in which to mend what they find."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtd_adapters.methods.method import Method
from rtd_adapters.testing.compositions import (
    captions_compose_as_pictures,
    gradient_reaches_the_tower_alone,
    layout_keeps_every_bit,
    projection_fits_its_backbone,
    queries_have_a_row_for_each_reference,
    rows_are_independent,
)
from rtd_adapters.testing.declarations import (
    activation_is_known,
    composed_prompt_takes_the_text,
    injections_are_known,
    layout_is_known,
    name_is_a_lower_case_identifier,
    placeholder_is_found_in_both_prompts,
    placeholder_is_one_token,
    pooling_reads_past_the_placeholder,
    texts_are_set,
)
from rtd_adapters.testing.inversion import (
    teaching_moves_the_tokens,
    trained_projection_is_read_again,
    training_is_declared_whole,
    training_reaches_the_projection_alone,
)

Check = Callable[[Method], None]

CHECKS: tuple[Check, ...] = (
    name_is_a_lower_case_identifier,
    texts_are_set,
    layout_is_known,
    activation_is_known,
    injections_are_known,
    layout_keeps_every_bit,
    composed_prompt_takes_the_text,
    placeholder_is_one_token,
    pooling_reads_past_the_placeholder,
    placeholder_is_found_in_both_prompts,
    projection_fits_its_backbone,
    queries_have_a_row_for_each_reference,
    captions_compose_as_pictures,
    rows_are_independent,
    gradient_reaches_the_tower_alone,
    training_is_declared_whole,
    training_reaches_the_projection_alone,
    teaching_moves_the_tokens,
    trained_projection_is_read_again,
)
"""Each takes a method and raises `AssertionError` where its promise is broken."""


def check_method(method: Method, checks: Sequence[Check] = CHECKS) -> list[str]:
    """Check that a method keeps the seam's promises, and return the names of those it keeps.

    Args:
        method: with its options chosen, where some have no default.
        checks: the promises.

    Raises:
        AssertionError: the first broken promise: whose, what is wrong, and what to do.
    """
    for check in checks:
        check(method)
    return [check.__name__ for check in checks]
