"""The encoder in the shape of a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from rtd_adapters.errors import UsageError
from rtd_adapters.search.encoder import CompositionEncoder

if TYPE_CHECKING:
    import numpy as np

USUAL: Mapping[str, Any] = MappingProxyType(
    {
        "prompt": None,
        "prompt_name": None,
        "truncate_dim": None,
        "output_value": "sentence_embedding",
        "precision": "float32",
        "device": None,
        "pool": None,
        "chunk_size": None,
    }
)
"""What `SentenceTransformer.encode` takes besides, with its defaults: all that is done here."""


class NoCard:
    """The model card that evaluators write their figures into: there is none."""

    def set_evaluation_metrics(self, *figures: Any) -> None:
        """Keep nothing: the evaluator returns what it found."""


class SentenceEncoder:
    """A `CompositionEncoder` for code that asks a `sentence_transformers.SentenceTransformer`
    (5 and later): its search utilities and evaluators, and what others built on `encode`.

    An input is a text (plain, by the base tower), a PIL picture, or a composed query: a tuple of
    picture and text, or `{"image": picture, "text": text}`, as sentence-transformers has it for
    models of several modalities. A list may mix them. Vectors are units, whether
    `normalize_embeddings` says so or not.
    """

    similarity_fn_name = "cosine"
    model_card_data = NoCard()

    def __init__(self, encoder: CompositionEncoder) -> None:
        self.encoder = encoder

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.encoder.device

    def encode(
        self,
        inputs: Any,
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = True,
        **others: Any,
    ) -> Any:
        """[N, embed_dim] of a list of inputs, [embed_dim] of a single one.

        Args:
            inputs: one, or a list of them.
            batch_size: inputs of one kind at a time.
            show_progress_bar: whether to show one.
            convert_to_numpy: a numpy array; without it, and no tensor wanted, a list of tensors.
            convert_to_tensor: a torch tensor on the encoder's device.
            normalize_embeddings: vectors are units regardless.
            others: further arguments of sentence-transformers, at their defaults.

        Raises:
            UsageError: an input is none of these, or an argument asks for what is not done.
            RtdError: as `CompositionEncoder`.
        """
        _require_usual(others)
        single = _is_single(inputs)
        found = self._encoded([inputs] if single else list(inputs), batch_size, show_progress_bar)
        rows = found[0] if single else found
        if convert_to_tensor:
            return rows
        if convert_to_numpy:
            return rows.cpu().numpy()
        return rows if single else list(rows)

    encode_query = encode_document = encode

    def similarity(self, first: Tensor | np.ndarray, second: Tensor | np.ndarray) -> Tensor:
        """[N, M] cosines of vectors [N, embed_dim] and [M, embed_dim]."""
        return _units(first) @ _units(second).T

    def similarity_pairwise(
        self, first: Tensor | np.ndarray, second: Tensor | np.ndarray
    ) -> Tensor:
        """[N] cosines of vectors, row by row."""
        return (_units(first) * _units(second)).sum(-1)

    def get_embedding_dimension(self) -> int:
        """Length of its vectors."""
        return self.encoder.embed_dim

    get_sentence_embedding_dimension = get_embedding_dimension

    def _encoded(self, inputs: list[Any], batch_size: int, show: bool | None) -> Tensor:
        """[N, embed_dim], each kind of input in batches of its own."""
        kinds = [_sides(one) for one in inputs]
        encode = self._encoders()
        found = torch.empty(len(inputs), self.encoder.embed_dim, device=self.device)
        with tqdm(total=len(inputs), desc="encoding", disable=not show) as bar:
            for kind in encode:
                places = [row for row, one in enumerate(kinds) if tuple(one) == kind]
                for start in range(0, len(places), batch_size):
                    part = places[start : start + batch_size]
                    sides = [[kinds[row][side] for row in part] for side in kind]
                    found[part] = encode[kind](*sides)
                    bar.update(len(part))
        return found

    def _encoders(self) -> Mapping[tuple[str, ...], Callable[..., Tensor]]:
        """What encodes a batch of inputs that have these sides."""

        def tensors(encode: Callable[..., Any]) -> Callable[..., Tensor]:
            return lambda *sides: encode(*sides, batch_size=len(sides[0]), convert_to_tensor=True)

        return {
            ("text",): tensors(self.encoder.encode_texts),
            ("image",): tensors(self.encoder.encode_images),
            ("image", "text"): tensors(self.encoder.encode_composed),
        }


def _sides(one: Any) -> dict[str, Any]:
    """The sides that an input has, the picture first."""
    if isinstance(one, tuple) and len(one) == 2:
        sides = {"image": one[0], "text": one[1]}
    elif isinstance(one, Mapping) and one and set(one) <= {"image", "text"}:
        sides = {side: one[side] for side in ("image", "text") if side in one}
    else:
        sides = {"text" if isinstance(one, str) else "image": one}
    if _is_picture(sides.get("image")) and isinstance(sides.get("text", ""), str):
        return sides
    if list(sides) == ["text"] and isinstance(sides["text"], str):
        return sides
    raise UsageError(
        f"an input is {type(one).__name__} {str(one)[:60]!r}; it must be a text, a PIL picture "
        '(PIL.Image.open), a tuple of picture and text, or {"image": picture, "text": text}.'
    )


def _is_single(inputs: Any) -> bool:
    pair = isinstance(inputs, tuple) and len(inputs) == 2 and _is_picture(inputs[0])
    one = isinstance(inputs, (str, Mapping)) or _is_picture(inputs)
    return pair or one or not isinstance(inputs, Iterable)


def _is_picture(one: Any) -> bool:
    from PIL.Image import Image

    return isinstance(one, Image)


def _require_usual(others: Mapping[str, Any]) -> None:
    for name, value in others.items():
        if name not in USUAL or value != USUAL[name]:
            raise UsageError(
                f"encode({name}={value!r}) is not done: this encoder asks what its method asks, at "
                "full length, on its own device. Leave it out."
            )


def _units(vectors: Tensor | np.ndarray) -> Tensor:
    return F.normalize(torch.atleast_2d(torch.as_tensor(vectors)).float(), dim=-1)
