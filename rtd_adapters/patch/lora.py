"""LoRA on the text tower, by peft: insert, merge, and write in PEFT's own format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file
from torch import Tensor, nn

from rtd_adapters.clip.text import Layout, TextTower, get_layout
from rtd_adapters.errors import UsageError, require_number
from rtd_adapters.io.atomic import require_new_folder, whole_folder
from rtd_adapters.patch.metadata import PatchMetadata

if TYPE_CHECKING:
    from peft import LoraConfig

ADAPTER = "default"
TARGETS = {
    "attention": ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj"),
    "mlp": ("mlp.c_fc", "mlp.c_gate", "mlp.c_proj"),
}


@dataclass(frozen=True)
class LoRASettings:
    """Size and reach of the low-rank factors."""

    rank: int = 8
    alpha: float = 16.0
    """The factors' product is scaled by alpha / rank."""
    dropout: float = 0.0
    """Dropout on the factors' input while training."""
    targets: tuple[str, ...] = ("attention", "mlp")
    """Kinds of layers that get factors."""
    blocks: tuple[int, ...] | None = None
    """Transformer blocks that get factors, counted from 0; all by default."""

    def __post_init__(self) -> None:
        require_number("--lora-rank", self.rank, least=1)
        require_number("--lora-alpha", self.alpha, above=0)
        require_number("--lora-dropout", self.dropout, least=0, below=1)
        unknown = [name for name in self.targets if name not in TARGETS]
        if unknown or not self.targets:
            raise UsageError(
                f"LoRA targets {list(self.targets)}: choose from {', '.join(TARGETS)}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a patch's metadata."""
        values = asdict(self)
        return values | {"targets": list(self.targets), "blocks": self.blocks and list(self.blocks)}

    def layers(self, tower: TextTower) -> list[str]:
        """Module names of the layers of a tower that get factors."""
        depth, block_0 = tower.config.layers, tower.transformer.resblocks[0]
        has = {name for name, _ in block_0.named_modules()}
        blocks = range(depth) if self.blocks is None else self.blocks
        outside = [block for block in blocks if not 0 <= block < depth]
        if outside:
            raise UsageError(f"LoRA blocks {outside} do not exist; the tower has 0 to {depth - 1}.")
        return [
            f"transformer.resblocks.{block}.{layer}"
            for block in blocks
            for target in self.targets
            for layer in TARGETS[target]
            if layer in has
        ]


def insert_lora(tower: TextTower, settings: LoRASettings) -> None:
    """Give the tower trainable factors, in place; everything else is frozen.

    The tower's projections are plain Linears, so peft needs no special case for attention, and
    nothing outside the text tower can match by accident.
    """
    from peft import inject_adapter_in_model

    layers = settings.layers(tower)
    inject_adapter_in_model(_peft_config(settings, layers), tower, adapter_name=ADAPTER)


def merged_state(tower: TextTower) -> dict[str, Tensor]:
    """The tower's tensors under their plain names, factors merged in fp32; `tower` is unchanged."""
    factors = dict(_lora_layers(tower))
    state: dict[str, Tensor] = {}
    for name, tensor in tower.state_dict().items():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        owner, _, leaf = plain.rpartition(".")
        value = tensor.detach()
        if owner in factors and leaf == "weight":
            value = value.float() + factors[owner].get_delta_weight(ADAPTER).detach().float()
        state[plain] = value
    return state


def write_adapter(
    tower: TextTower, folder: Path, metadata: PatchMetadata, *, overwrite: bool
) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`, named as the model names its own
    layers: PEFT finds them there."""
    require_new_folder(folder, overwrite=overwrite)
    tensors, modules, settings = {}, [], metadata.lora
    layout = _adapter_layout(metadata.layout)
    for name, layer in _lora_layers(tower):
        module = layout.module(name)
        modules.append(module)
        for part in ("lora_A", "lora_B"):
            weight = getattr(layer, part)[ADAPTER].weight
            tensors[f"base_model.model.{module}.{part}.weight"] = weight.detach().cpu().contiguous()
    config = _peft_config(
        LoRASettings(settings["rank"], settings["alpha"], settings["dropout"]), modules
    )
    with whole_folder(folder) as temporary:
        save_file(tensors, temporary / "adapter_model.safetensors", metadata={"format": "pt"})
        values = config.to_dict() | {"inference_mode": True, "target_modules": sorted(modules)}
        text = json.dumps(values, indent=2, sort_keys=True, default=str)
        (temporary / "adapter_config.json").write_text(text, encoding="utf-8")


def _adapter_layout(name: str) -> Layout:
    """The layout itself, or transformers' where q, k and v are one tensor, which PEFT cannot
    give factors apart."""
    layout = get_layout(name)
    return get_layout("hf") if layout.fused else layout


def _peft_config(settings: LoRASettings, layers: list[str]) -> LoraConfig:
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        # A list matches by suffix; anchoring the whole name keeps it to these layers.
        target_modules="|".join(map(re.escape, layers)),
        bias="none",
    )


def _lora_layers(tower: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, module in tower.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module
