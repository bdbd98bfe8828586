"""Makes LinCIR's and RTD's encode function right again under newer transformers releases.

`encode_with_pseudo_tokens_HF` hands its own causal mask to transformers' encoder. Releases 4.54 to
4.57 refuse the arguments it uses; from 5.0 on the encoder takes no notice of the mask, so the tower
attends in both directions and the numbers are wrong without a word. Here the same quantity is
computed by the model's own forward, which is right in every release.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any

from torch import Tensor

from rtd_adapters.clip.releases import ENCODE_REFUSED_FROM, installed_release

NAME = "encode_with_pseudo_tokens_HF"
PLACEHOLDER = 259


def repair_encode(module: ModuleType, say: Callable[[str], None]) -> None:
    """Replace the function in a freshly imported module where transformers breaks it."""
    if hasattr(module, NAME) and encode_is_broken():
        setattr(module, NAME, encode_with_pseudo_tokens)
        release = version("transformers")
        say(f"repaired: {NAME}, which computes wrong numbers under transformers {release}")


def encode_is_broken() -> bool:
    """Whether the installed transformers breaks the function."""
    release = installed_release("transformers")
    return release is not None and release >= ENCODE_REFUSED_FROM


def encode_with_pseudo_tokens(
    clip_model: Any,
    text: Tensor,
    pseudo_tokens: Tensor,
    num_tokens: int = 1,
    return_last_states: bool = False,
) -> Any:
    """Embeddings [B, embed_dim] of texts whose `$` are replaced by pseudo tokens.

    Args:
        clip_model: transformers' `CLIPTextModelWithProjection`.
        text: [B, 77] token ids; every 259 is replaced.
        pseudo_tokens: [B, width].
        num_tokens: unused, as in the original.
        return_last_states: also return the states [B, 77, width] after the last LayerNorm.
    """
    places = (text == PLACEHOLDER).unsqueeze(-1)

    def swap(embedding: Any, inputs: Any, output: Tensor) -> Tensor:
        return output.where(~places, pseudo_tokens.unsqueeze(1).to(output.dtype))

    hook = clip_model.text_model.embeddings.token_embedding.register_forward_hook(swap)
    try:
        output = clip_model(input_ids=text)
    finally:
        hook.remove()
    if return_last_states:
        return output.text_embeds, output.last_hidden_state
    return output.text_embeds
