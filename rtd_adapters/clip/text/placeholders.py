"""Pseudo tokens at the placeholders of a batch of texts."""

from __future__ import annotations

import torch
from torch import Tensor

from rtd_adapters.errors import BackboneError, TripletError


def fill_placeholders(
    embedded: Tensor, ids: Tensor, pseudo_tokens: Tensor, placeholder_id: int | None
) -> Tensor:
    """[B, L, width] token embeddings with pseudo tokens in place of the placeholders'.

    Args:
        embedded: [B, L, width].
        ids: [B, L].
        pseudo_tokens: [B, width] or [B, K, width]; a row with n <= K placeholders takes its first
            n, in order.
        placeholder_id: the token they replace.

    How many placeholders a row has is not looked at (`require_counts`): on a GPU that would be
    waited for.

    Raises:
        BackboneError: there is no placeholder, or the pseudo tokens are of another size.
    """
    if placeholder_id is None:
        raise BackboneError("Pseudo tokens need the id of the placeholder they replace.")
    if pseudo_tokens.dim() == 2:
        pseudo_tokens = pseudo_tokens.unsqueeze(1)
    _require_fit(embedded, pseudo_tokens)
    places = torch.eq(ids, placeholder_id)
    turns = (places.cumsum(dim=-1) - 1).clamp(0, pseudo_tokens.shape[1] - 1)
    taken = pseudo_tokens.gather(1, turns[..., None].expand(*turns.shape, embedded.shape[-1]))
    return torch.where(places[..., None], taken.to(embedded.dtype), embedded)


def require_counts(ids: Tensor, pseudo_tokens: Tensor, placeholder_id: int | None) -> None:
    """Check that texts [B, L] have placeholders for their pseudo tokens, [B, width] or
    [B, K, width].

    Raises:
        TripletError: a row has no placeholder, or more than K.
    """
    most = pseudo_tokens.shape[1] if pseudo_tokens.dim() == 3 else 1
    if placeholder_id is not None:
        _require_counts(torch.eq(ids, placeholder_id).sum(dim=-1), most, placeholder_id)


def require_below_eot(ids: Tensor, placeholder_id: int | None) -> None:
    """Check that pooling at the largest id of a text [B, L] will not read a placeholder.

    Raises:
        BackboneError: it would.
    """
    if placeholder_id is None:
        return
    above = ids.amax(dim=-1) <= placeholder_id
    if above.any():
        row = int(above.nonzero()[0])
        raise BackboneError(
            f"The placeholder's id {placeholder_id} is not below EOT ({int(ids[row].max())} is the "
            "largest id of the text), so pooling would read it instead. Use a token below EOT."
        )


def _require_fit(embedded: Tensor, pseudo_tokens: Tensor) -> None:
    texts, _, width = embedded.shape
    if (
        pseudo_tokens.dim() != 3
        or pseudo_tokens.shape[0] != texts
        or pseudo_tokens.shape[2] != width
    ):
        raise BackboneError(
            f"Pseudo tokens are {list(pseudo_tokens.shape)}; {texts} texts and a tower of "
            f"width {width} need [{texts}, K, {width}]. "
            "Use a projection that was made for this backbone."
        )


def _require_counts(counts: Tensor, most: int, placeholder_id: int) -> None:
    wrong = (counts < 1) | (counts > most)
    if not wrong.any():
        return
    row = int(wrong.nonzero()[0])
    raise TripletError(
        f"Text {row} of the batch has {int(counts[row])} placeholders (token {placeholder_id}) "
        f"and {most} pseudo token(s). It must have 1 to {most}: check the prompt, and put "
        "spaces round the placeholder."
    )
