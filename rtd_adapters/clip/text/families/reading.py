"""What is read off live modules, whoever built them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rtd_adapters.clip.text.activations import recognise_activation
from rtd_adapters.errors import BackboneError


def activation_in(mlp: nn.Module) -> str:
    """The activation of an MLP: that of its one part that has no weights.

    Raises:
        BackboneError: there is no such part, or it computes none of those known.
    """
    parts = [part for part in mlp.children() if not list(part.parameters())]
    parts = [part for part in parts if not isinstance(part, nn.Dropout)]
    if len(parts) != 1:
        names = ", ".join(type(part).__name__ for part in mlp.children())
        raise BackboneError(
            f"The text tower's MLP ({names}) is not two linear layers and an activation."
        )
    return recognise_activation(parts[0])


def common_eps(*parts: nn.Module) -> float:
    """The eps of all norms in some modules.

    Raises:
        BackboneError: they have none, or several.
    """
    found = {
        float(eps)
        for part in parts
        for module in part.modules()
        if (eps := getattr(module, "eps", getattr(module, "variance_epsilon", None))) is not None
    }
    if len(found) != 1:
        raise BackboneError(
            f"The text tower's norms have eps {sorted(found) or 'none'}; one value for all is "
            "what rtd knows."
        )
    return found.pop()


def end_of_text(eos_id: int, vocab_size: int) -> dict[str, Any]:
    """Pooling at the first end of text.

    Where its id is the largest of the vocabulary, that is the first largest id of the text, as
    OpenAI's CLIP has it: one description for both.
    """
    if eos_id == vocab_size - 1:
        return {"pooling": "argmax"}
    return {"pooling": "eos", "eos_id": eos_id}


def features(output: Any) -> Tensor:
    """Embeddings as `get_text_features` gives them: bare, or (transformers 5) in an output."""
    return output if isinstance(output, Tensor) else output.pooler_output
