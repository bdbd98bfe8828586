"""KEDs (Suo et al., CVPR 2024): three tokens from each of two streams, which look at neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rtd_adapters import (
    BackboneShape,
    Composition,
    Method,
    MethodOption,
    Query,
    Reference,
    hookimpl,
)

from .export import register_exporters as register_exporters

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHT = 0.5
"""Of either stream, as its CIRR evaluation has it."""
TOKENS = 3
"""Of each stream: the mapping fused with pictures like it, conditioned on captions like it, and
alone."""


class Keds(Method):
    """Prompts, lookup, projection and mixture as in suoych/KEDs (src/eval_utils.py, CIRR).

    A query is composed twice, with the tokens of the stream trained on pictures and of the one
    trained on captions, and the two embeddings are added up. The repository writes one `*` and puts
    three tokens in its place; here three `*` are written, which is the same sequence. Its other
    evaluations try weights from 0.05 upwards, each with checkpoints of other epochs; CIRR's, val
    and test, has equal ones.

    Neighbours come from two banks, of pictures and of captions. Training has no picture: a caption
    looks its neighbours up as a picture would, or, with the stand-in `captions`, among captions
    alone, so that a bank of captions is all that training needs. Both are our own idea.
    """

    name = "keds"
    summary = "KEDs: two streams of three tokens, with neighbours of a bank, 'a photo of * , ...'"
    reference_url = "https://github.com/suoych/KEDs"
    layout = "openai"
    activation = "quick_gelu"
    placeholder = "*"
    composed_prompt = "a photo of * , {text}"
    bare_prompt = "a photo of *"
    backbone = ("ViT-L-14", "openai")
    checked_with = ("demo",)
    reuses = "searle"
    injections = ("call", "file", "launcher")
    options = MappingProxyType(
        {
            "stand_in": MethodOption(
                "where training looks a caption's neighbours up: in both banks as evaluation does, "
                "among captions alone, or nowhere, with SEARLE's projection",
                default="banks",
                choices=("banks", "captions", "reuse"),
            ),
            "text_stream": MethodOption(
                "checkpoint of the stream trained on captions; --projection is the other's",
                is_file=True,
            ),
            "text_bank": MethodOption("file of caption embeddings, [N, embed_dim]", is_file=True),
            "image_bank": MethodOption(
                "file of picture embeddings, [N, embed_dim]; training with the stand-in captions "
                "does without",
                default="",
                is_file=True,
            ),
        }
    )

    def build_projection(self, shape: BackboneShape) -> nn.Module:
        """Both streams, and banks of random directions until `fill_bank` gives them others."""
        from .dual_stream import DualStream

        return DualStream(shape.embed_dim, shape.text_width).with_random_banks()

    def fill_bank(self, projection: nn.Module, pictures: Tensor, captions: Tensor) -> None:
        """Both banks, of unit vectors as the repository's are."""
        from torch.nn.functional import normalize

        projection.register_buffer("image_bank", normalize(pictures.float(), dim=-1))
        projection.register_buffer("text_bank", normalize(captions.float(), dim=-1))

    def load_projection(self, path: Path, shape: BackboneShape) -> nn.Module:
        """Both streams and their banks.

        From `path`, a checkpoint of main.py for the stream trained on pictures, and the files that
        the options name; or from a converted file, which holds all of them.

        Raises:
            UsageError: an option is missing, or given where the file needs none.
        """
        from rtd_adapters import fill_projection

        from .checkpoints import read_projection
        from .dual_stream import DualStream

        tensors = read_projection(path, shape.embed_dim, self)
        module = DualStream.sized_like(tensors, shape.embed_dim, shape.text_width)
        return fill_projection(module, tensors, path)

    def composed(
        self, projection: nn.Module, reference: Reference, texts: Sequence[str]
    ) -> Composition:
        """Composed prompts, once with either stream's tokens."""
        prompt = _with_tokens(self.composed_prompt)
        return self._mixed([prompt.format(text=text) for text in texts], projection, reference)

    def bare(
        self, projection: nn.Module, reference: Reference, texts: Sequence[str] | None = None
    ) -> Composition:
        """Bare prompts; the tokens do not depend on texts."""
        prompts = [_with_tokens(self.bare_prompt)] * len(reference)
        return self._mixed(prompts, projection, reference)

    def _mixed(
        self, prompts: Sequence[str], projection: nn.Module, reference: Reference
    ) -> Composition:
        stood_in = reference.captions is not None and self.stand_in == "captions"
        looked_up = "text_bank" if stood_in else "image_bank"
        bank = projection.get_buffer(looked_up)
        streams = reference.once((self, projection), lambda: projection(reference.embedding, bank))
        return Composition.weighted(*((WEIGHT, Query(prompts, tokens)) for tokens in streams))


def _with_tokens(prompt: str) -> str:
    """A prompt with a placeholder for each token."""
    return prompt.replace(Keds.placeholder, " ".join(Keds.placeholder * TOKENS))


@hookimpl
def register_methods(register: Callable[[Method], None]) -> None:
    """Add KEDs."""
    register(Keds())
