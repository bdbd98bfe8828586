"""Promises about what a method computes: projections, queries, gradients, rows, tensor names."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from rtd_adapters.clip.text import from_layout, to_layout
from rtd_adapters.methods.method import STAND_IN, Method
from rtd_adapters.methods.query import Query
from rtd_adapters.testing.promises import promised, require
from rtd_adapters.testing.rehearsal import TEXTS, Rehearsal, rows_of
from rtd_adapters.testing.towers import OTHER, SMALL

TOLERANCE = 1e-5
"""Of embeddings, by their length."""


def projection_fits_its_backbone(method: Method) -> None:
    """`build_projection` follows the backbone's sizes: pseudo tokens are [B, K, text width]."""
    for shape in (SMALL, OTHER):
        rehearsal = Rehearsal(method, shape)
        queries = rehearsal.composed(rehearsal.pictures).queries
        tokens = [query.pseudo_tokens for query in queries if query.pseudo_tokens is not None]
        require(
            method,
            bool(tokens) or not method.needs_projection,
            "none of its composed queries has pseudo tokens",
            "Give Query the projection's output, or set needs_projection = False.",
        )
        for found in tokens:
            require(
                method,
                found.dim() == 3 and found.shape[::2] == (len(TEXTS), shape.text_width),
                f"for {len(TEXTS)} references and {shape} its pseudo tokens are "
                f"{list(found.shape)}",
                f"They must be [{len(TEXTS)}, K, {shape.text_width}]: [B, K, text width].",
            )


def queries_have_a_row_for_each_reference(method: Method) -> None:
    """Composed and bare queries, with texts and without, embed as one vector for each reference."""
    rehearsal = Rehearsal(method)
    width = rehearsal.shape.embed_dim
    for reference in (rehearsal.pictures, rehearsal.captions):
        for composition in (
            rehearsal.composed(reference),
            rehearsal.bare(reference),
            rehearsal.bare(reference, TEXTS),
        ):
            for query in composition.queries:
                _require_rows(method, query, len(reference))
            found, wanted = list(rehearsal.embed(composition).shape), [len(reference), width]
            require(
                method,
                found == wanted,
                f"its queries embed as {found}, not as {wanted}: [B, embed_dim]",
                "Let combine return one joint-space vector for each row.",
            )


def captions_compose_as_pictures(method: Method) -> None:
    """Training sees what evaluation sees: a caption and a picture of the same embedding and the
    same states make the same queries.

    A stand-in other than the default one may be another idea, and is not held to this.
    """
    if STAND_IN in method.options and method.stand_in != method.options[STAND_IN].default:
        return
    rehearsal = Rehearsal(method)
    captions, pictures = rehearsal.captions, rehearsal.pictures
    for which, one, other in (
        ("composed", rehearsal.composed(captions), rehearsal.composed(pictures)),
        ("bare", rehearsal.bare(captions), rehearsal.bare(pictures)),
    ):
        require(
            method,
            _equal(rehearsal.embed(one), rehearsal.embed(other)),
            f"its {which} queries of captions and of pictures differ, though embeddings and states "
            "are the same",
            "Read the reference's embedding and states, and not whether it has captions.",
        )


def gradient_reaches_the_tower_alone(method: Method) -> None:
    """Training changes every block of the text tower, and neither the projection nor whatever
    pseudo tokens are made of."""
    rehearsal = Rehearsal(method)
    captions = rehearsal.captions
    tower, projection = rehearsal.tower.requires_grad_(True), rehearsal.projection
    composition = rehearsal.composed(captions)
    tokens = [query.pseudo_tokens for query in composition.queries]
    require(
        method,
        not any(token is not None and token.requires_grad for token in tokens),
        "its pseudo tokens carry a gradient, though the projection is frozen",
        "Compute what they depend on, such as a text's embedding, under torch.no_grad().",
    )
    embedded = rehearsal.embed(composition)
    if embedded.requires_grad:
        embedded.backward(torch.randn(embedded.shape, generator=torch.Generator().manual_seed(0)))
    blocks = tower.transformer.resblocks
    untouched = [str(n) for n, block in enumerate(blocks) if not _touched(block.parameters())]
    require(
        method,
        not untouched,
        f"no gradient of its composed queries reaches block {' and '.join(untouched)} of the tower",
        "Let combine use the queries' embeddings as they are, without detach or no_grad.",
    )
    require(
        method,
        not _touched(projection.parameters()),
        "the gradient of its composed queries flows into the projection",
        "Leave the projection frozen: patches train the text tower alone.",
    )


def rows_are_independent(method: Method) -> None:
    """A query is the same alone and in a batch: engines split batches and share beginnings."""
    rehearsal = Rehearsal(method)
    for reference in (rehearsal.pictures, rehearsal.captions):
        whole = rehearsal.embed(rehearsal.composed(reference))
        for row in range(len(reference)):
            own = slice(row, row + 1)
            alone = rehearsal.composed(rows_of(reference, own), TEXTS[own])
            require(
                method,
                _equal(rehearsal.embed(alone), whole[own]),
                f"query {row} of a batch of {len(reference)} differs from the same query alone",
                "Compute nothing across rows, such as a batch's mean, and nothing at random.",
            )


def layout_keeps_every_bit(method: Method) -> None:
    """A tower written under the repository's tensor names and read again is the same tower."""
    state = Rehearsal(method).tower.state_dict()
    remedy = "Name the layout that its repository's text tower has."
    with promised(method, f"writing a tower in layout {method.layout!r}", remedy):
        found, again = from_layout(to_layout(state, method.layout))
    same = again.keys() == state.keys() and all(torch.equal(again[k], state[k]) for k in state)
    require(
        method,
        same and found == method.layout,
        f"a tower written in layout {method.layout!r} is read again as {found!r}, and changed",
        remedy,
    )


def _require_rows(method: Method, query: Query, rows: int) -> None:
    require(
        method,
        len(query.prompts) == rows,
        f"a query has {len(query.prompts)} prompts for {rows} references",
        "Give one prompt for each row of the reference.",
    )


def _touched(parameters: Iterable[Tensor]) -> bool:
    """Whether any of some parameters has a gradient that is not zero."""
    return any(p.grad is not None and bool(p.grad.any()) for p in parameters)


def _equal(one: Tensor, other: Tensor) -> bool:
    difference = (one - other).norm(dim=-1)
    return bool((difference <= TOLERANCE * other.norm(dim=-1)).all())
