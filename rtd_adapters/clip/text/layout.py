"""What a layout is: each tensor of a tower, and where somebody else's state dict keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rtd_adapters.errors import BackboneError

BLOCKS = "transformer.resblocks."
"""What the names of a `TextTower`'s blocks begin with."""
FUSED = ("q_proj", "k_proj", "v_proj")
"""The layers that `nn.MultiheadAttention` keeps in one tensor, in its order."""
LEAVES = ("weight", "bias")


@dataclass(frozen=True)
class Layout:
    """One way of naming a text tower's tensors. Names on the left are `TextTower`'s."""

    name: str
    marker: str
    """A key that tells this layout from all others."""
    top: Mapping[str, str]
    """What stands outside the blocks: name -> key; a module's name stands for its tensors too."""
    blocks: str
    """What the keys of blocks begin with; then comes the block's number."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """The modules of a block that have another name there."""
    fused: bool = False
    """Whether q, k and v are one tensor, as in `nn.MultiheadAttention`."""
    turned: bool = False
    """Whether a projection matrix is kept as a linear layer's weight, [embed_dim, width]."""

    def place(self, name: str) -> tuple[str, int | None]:
        """The key of a tensor, and which third of a fused q, k and v it is.

        Raises:
            BackboneError: the layout has no such tensor.
        """
        module, leaf = _split(name)
        if not name.startswith(BLOCKS):
            if name in self.top:
                return self.top[name], None
            if leaf and module in self.top:
                return f"{self.top[module]}.{leaf}", None
            raise BackboneError(
                f"The layout {self.name} has no {name}, which this text tower has. Use the layout "
                "of the model that it comes from."
            )
        part = module.removeprefix(BLOCKS).partition(".")[2]
        if self.fused and part.startswith("attn.") and (third := part[5:]) in FUSED:
            whole = self.module(module.removesuffix(third) + "in_proj")
            return f"{whole}_{leaf}", FUSED.index(third)
        return f"{self.module(module)}.{leaf}", None

    def module(self, name: str) -> str:
        """What a module of a `TextTower`'s blocks is called there.

        In transformers' CLIP, `transformer.resblocks.0.mlp.c_fc` is
        `text_model.encoder.layers.0.mlp.fc1`.
        """
        block, _, part = name.removeprefix(BLOCKS).partition(".")
        return f"{self.blocks}{block}.{self.parts.get(part, part)}"


def _split(name: str) -> tuple[str, str]:
    """Module and leaf of a tensor's name; no leaf where the tensor is a parameter by itself."""
    module, _, leaf = name.rpartition(".")
    return (module, leaf) if leaf in LEAVES else (name, "")
