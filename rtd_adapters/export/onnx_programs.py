"""Modules as ONNX files that onnxruntime computes alike."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import TextTower, Tokenizer
from rtd_adapters.errors import PatchError, UsageError, first_line
from rtd_adapters.methods.method import Method

OPSET = 18
TOLERANCE = 1e-4
"""Of the largest coordinate: how far onnxruntime may be from torch."""
ONE_FILE = 1_900_000_000
"""Bytes of weights that one file takes; protobuf ends at 2 GiB, and more lie beside it."""
KEY = "rtd."
"""What the names of our metadata begin with."""


class Program(nn.Module):
    """A module with what its export needs."""

    inputs: tuple[str, ...]
    output: str

    @abstractmethod
    def sample(self, rows: int) -> tuple[Tensor, ...]:
        """Inputs of so many rows."""

    @abstractmethod
    def sizes(self) -> tuple[dict[int, Any], ...]:
        """Which sizes of each input are free."""


class TextTowerProgram(Program):
    """Token ids and pseudo tokens to embeddings.

    Args:
        tower: base or patched.
        tokenizer: the method's, which knows the placeholder.
    """

    inputs = ("ids", "pseudo_tokens")
    output = "text_embedding"

    def __init__(self, tower: TextTower, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tower, self.tokenizer = tower, tokenizer

    def forward(self, ids: Tensor, pseudo_tokens: Tensor) -> Tensor:
        """[B, embed_dim] embeddings, not normalised, as `TextTower` gives them.

        Args:
            ids: [B, L] int64, as `TextTower.forward` takes them; each row with at most K
                placeholders, which nobody counts here.
            pseudo_tokens: [B, K, width]. Where one is zero, the placeholder's own token stays: so
                plain texts are asked with zeros.
        """
        tower, sign = self.tower, self.tokenizer.placeholder_id
        given = pseudo_tokens.ne(0).any(-1, keepdim=True)
        tokens = torch.where(given, pseudo_tokens, tower.token_embedding.weight[sign])
        x = tower.placed(tower.embed(ids, tokens, sign), tower.places(ids))
        length = x.shape[1]
        sight = tower.sight(ids).biased(tower.bias(length), length)
        states = tower.normed(tower.transformer(x, sight))
        if not tower.reads_one:
            return tower.pool(states, ids)
        # As in `pool`, gathered: onnxruntime before 1.32 fuses an indexed state and a linear layer
        # into a product of other sizes.
        ends = tower.ends(ids)[:, None, None].expand(-1, 1, states.shape[2])
        return tower.project(states.gather(1, ends).squeeze(1))

    def sample(self, rows: int) -> tuple[Tensor, ...]:
        """Prompts of different lengths, the placeholder at different places."""
        sign = self.tokenizer.placeholder
        prompts = [f"a {'a ' * row}{sign} a {sign} a" for row in range(rows)]
        width = self.tower.config.width
        generator = torch.Generator().manual_seed(rows)
        tokens = torch.randn(rows, 2, width, generator=generator)
        return self.tokenizer.encode_prompts(prompts, [2] * rows), tokens

    def sizes(self) -> tuple[dict[int, Any], ...]:
        """All but the width; the length too where padding may be cut."""
        batch, most = _batch(), self.tower.config.context_length
        free = {} if self.tower.config.fixed_length else {1: torch.export.Dim("length", max=most)}
        return {0: batch, **free}, {0: batch, 1: torch.export.Dim("tokens", max=most)}


class ProjectionProgram(Program):
    """Unnormalised embeddings of pictures to pseudo tokens.

    Args:
        method: whose pseudo tokens are a function of the embedding alone.
        projection: the method's.
        shape: of the backbone.
    """

    inputs = ("image_embedding",)
    output = "pseudo_tokens"

    def __init__(self, method: Method, projection: nn.Module, shape: BackboneShape) -> None:
        super().__init__()
        self.method, self.projection, self.shape = method, projection, shape

    def forward(self, image_embedding: Tensor) -> Tensor:
        """[B, K, text width] from [B, embed_dim]."""
        return self.method.pseudo_tokens(self.projection, image_embedding)

    def sample(self, rows: int) -> tuple[Tensor, ...]:
        """Random embeddings, of about CLIP's lengths."""
        generator = torch.Generator().manual_seed(rows)
        return (torch.randn(rows, self.shape.embed_dim, generator=generator),)

    def sizes(self) -> tuple[dict[int, Any], ...]:
        """The batch."""
        return ({0: _batch()},)


def _batch() -> Any:
    """Any number of rows; torch 2.5 wants a bound, which no file has."""
    return torch.export.Dim("batch", max=1 << 30)


def require_onnx() -> None:
    """Check that what exports and checks is installed.

    Raises:
        UsageError: a package is missing.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"ONNX files need {' and '.join(missing)}, which are not installed. "
            'pip install "rtd-adapters[onnx]"'
        )


@torch.no_grad()
def write_program(path: Path, program: Program, about: Mapping[str, str]) -> None:
    """Write a program, and check that onnxruntime computes what torch does.

    Args:
        path: in a folder that is not in its place yet; large weights are written beside it.
        program: on the CPU.
        about: for the file's metadata, whose names get the prefix `rtd.`.

    Raises:
        PatchError: torch cannot follow the program, or onnxruntime computes something else.
    """
    program.eval()
    exported = _exported(program)
    for node in exported.model.graph:
        node.metadata_props.clear()  # where each line of code lies on this machine
    exported.model.metadata_props.update({KEY + name: text for name, text in about.items()})
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict().values())
    exported.save(str(path), external_data=size > ONE_FILE)
    _require_equal(path, program)


def _exported(program: Program) -> Any:
    try:
        with _silent():
            return torch.onnx.export(
                program,
                program.sample(3),
                input_names=list(program.inputs),
                output_names=[program.output],
                dynamic_shapes=program.sizes(),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        raise PatchError(
            f"torch {torch.__version__} cannot write {type(program).__name__} as ONNX: {error}"
        ) from error


def _require_equal(path: Path, program: Program) -> None:
    """Check a file against its program, on another number of rows than it was followed with.

    Raises:
        PatchError: they differ.
    """
    import onnxruntime

    inputs = program.sample(5)
    named = zip(program.inputs, (tensor.numpy() for tensor in inputs), strict=True)
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, dict(named))
    except Exception as error:  # its errors have no common class
        raise PatchError(
            f"onnxruntime {onnxruntime.__version__} does not take what torch {torch.__version__} "
            f"made of {type(program).__name__}: {first_line(error)} Try other versions."
        ) from error
    wanted = program(*inputs)
    off = float((torch.from_numpy(found) - wanted).abs().max() / wanted.abs().max())
    if not off <= TOLERANCE:
        raise PatchError(
            f"onnxruntime {onnxruntime.__version__} computes something else than torch: "
            f"{type(program).__name__} is off by {off:.1e} of its largest coordinate. Nothing was "
            "written. Try other versions of onnxscript and onnxruntime."
        )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what the exporter tells about its own steps."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
