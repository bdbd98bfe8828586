"""Loads a backbone: text tower, image tower and the sizes a projection must fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtd_adapters.errors import BackboneError, FileError
from rtd_adapters.images import ImageHead, image_head, image_width
from rtd_adapters.methods import BackboneShape
from rtd_adapters.text import TextTower, Tokenizer, find_tower, tower_from_model

DEMO = "demo"
EMBED_BATCH = 256


@dataclass
class Backbone:
    """A CLIP model, ready for text-only training and for evaluation.

    `tower` is the frozen text tower in fp32. `model` is the live model that images go through, as
    its own library built it, and `preprocess` its image transform; both are None once
    `drop_images` was called.
    """

    name: str
    pretrained: str | None
    tower: TextTower
    shape: BackboneShape
    model: nn.Module | None
    preprocess: Callable[[Any], Tensor] | None
    image_head: ImageHead = field(default_factory=ImageHead)
    """The image tower's end, which outlives `drop_images`."""

    @property
    def label(self) -> str:
        """`name/pretrained`, as in ViT-L-14/openai."""
        return f"{self.name}/{self.pretrained}" if self.pretrained else self.name

    def drop_images(self) -> Backbone:
        """Free the image tower, which training never needs."""
        self.model = self.preprocess = None
        return self

    @torch.no_grad()
    def embed_captions(self, captions: Sequence[str]) -> Tensor:
        """[N, embed_dim] unnormalised embeddings of plain captions by the frozen tower."""
        tokenizer = Tokenizer(self.tower.config.context_length)
        device = next(self.tower.parameters()).device
        rows = [
            self.tower(tokenizer.encode(captions[start : start + EMBED_BATCH]).to(device))
            for start in range(0, len(captions), EMBED_BATCH)
        ]
        return torch.cat(rows) if rows else torch.empty(0, self.shape.embed_dim, device=device)


def load_backbone(name: str = DEMO, pretrained: str | None = None) -> Backbone:
    """Load a backbone on the CPU in fp32.

    Args:
        name: `demo` (the built-in world), an open_clip model name, the path of an open_clip
            model-config JSON, or a local transformers CLIP folder.
        pretrained: an open_clip weights tag, or a local .safetensors or .pt file. Not for `demo`
            and folders, which bring their own weights.

    Raises:
        BackboneError: the name or tag is unknown, or weights are missing or do not fit.
        FileError: a local file is missing or damaged.
    """
    if name == DEMO or Path(name).is_dir():
        if pretrained is not None:
            raise BackboneError(f"{name} brings its own weights. Leave --pretrained out.")
        model, preprocess = _load_demo() if name == DEMO else _load_transformers(Path(name))
    else:
        model, preprocess = _load_open_clip(name, pretrained)
    model = model.float().eval().requires_grad_(False)
    tower = tower_from_model(model).requires_grad_(False)
    head = image_head(model)
    return Backbone(name, pretrained, tower, _shape(model, tower), model, preprocess, head)


def backbone_shape(name: str = DEMO) -> BackboneShape:
    """The sizes of a backbone, without loading its weights.

    Raises:
        BackboneError, FileError: as `load_backbone`.
    """
    if name == DEMO:
        from rtd_adapters.demo.clip import CONFIG

        return _config_shape(CONFIG)
    if Path(name).is_dir():
        from transformers import CLIPConfig

        sizes = CLIPConfig.from_pretrained(name, local_files_only=True)
        widths = sizes.text_config.hidden_size, sizes.vision_config.hidden_size
        return BackboneShape(sizes.projection_dim, *widths)
    import open_clip

    config = open_clip.get_model_config(_known_name(name))
    return _config_shape(config)


def _config_shape(config: dict[str, Any]) -> BackboneShape:
    """Sizes from an open_clip model config."""
    vision = config["vision_cfg"]
    # A list of layers marks a ResNet, whose attention pool gives states in the joint space.
    pools = isinstance(vision.get("layers"), list)
    states = config["embed_dim"] if pools else vision["width"]
    return BackboneShape(config["embed_dim"], config["text_cfg"]["width"], states)


def _load_demo() -> tuple[nn.Module, Callable[[Any], Tensor]]:
    from rtd_adapters.demo.clip import load_demo_clip

    return load_demo_clip()


def _load_transformers(folder: Path) -> tuple[nn.Module, Callable[[Any], Tensor]]:
    from transformers import CLIPImageProcessor, CLIPModel

    if not (folder / "config.json").is_file():
        raise BackboneError(f"{folder} has no config.json, so it is no transformers CLIP folder.")
    try:
        model, report = CLIPModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except Exception as error:
        raise BackboneError(
            f"{folder} does not load as a transformers CLIPModel: {error}"
        ) from error
    if report["missing_keys"]:
        # transformers fills what a folder lacks with random numbers and only warns.
        first = ", ".join(sorted(report["missing_keys"])[:3])
        raise BackboneError(
            f"{folder} lacks {len(report['missing_keys'])} tensors ({first}, ...). "
            "Save the full CLIPModel there, with its vision tower."
        )
    if not (folder / "preprocessor_config.json").is_file():
        return model, CLIPImageProcessor(return_tensors="pt")
    return model, CLIPImageProcessor.from_pretrained(folder, local_files_only=True)


def _load_open_clip(name: str, pretrained: str | None) -> tuple[nn.Module, Callable[[Any], Tensor]]:
    import open_clip

    name = _known_name(name)
    if pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise BackboneError(
            f"{name} needs --pretrained: a weights file or one of open_clip's tags ({tags})."
        )
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    if not tag:
        _require_weights(name, pretrained)
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            name,
            pretrained=pretrained,
            # A tag knows the activation its weights were trained with; a file does not, so there
            # the model name decides (ViT-L-14-quickgelu for OpenAI's weights).
            force_quick_gelu=bool(tag.get("quick_gelu")),
        )
    except Exception as error:
        raise BackboneError(
            f"{name} with {pretrained} did not load: {_first_line(error)}"
        ) from error
    return model, preprocess


def _known_name(name: str) -> str:
    """The name under which open_clip knows a model; a config JSON is made known first."""
    import open_clip

    if name.endswith(".json"):
        name = _register_config(Path(name))
    if open_clip.get_model_config(name) is None:
        raise BackboneError(
            f"Unknown backbone {name!r}. Pass 'demo', a transformers folder, a model-config JSON, "
            f"or one of open_clip's models, such as ViT-B-32, ViT-L-14 or ViT-H-14."
        )
    return name


def _register_config(path: Path) -> str:
    import open_clip

    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Check --backbone.") from error
    except ValueError as error:
        raise FileError(f"{path} is not valid JSON: {error}.") from error
    absent = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in config]
    if absent:
        raise FileError(f"{path} is no open_clip model config: it lacks {', '.join(absent)}.")
    open_clip.add_model_config(path)
    return path.stem


def _require_weights(name: str, pretrained: str) -> None:
    """Check a local weights file before open_clip does, whose words for a bad one are obscure."""
    import open_clip

    from rtd_adapters.checkpoints import read_checkpoint

    path = Path(pretrained)
    if not path.exists():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise BackboneError(
            f"{pretrained!r} is neither a file nor a weights tag of {name} (known tags: {tags})."
        )
    read_checkpoint(path)


def _shape(model: nn.Module, tower: TextTower) -> BackboneShape:
    config = find_tower(model).config
    return BackboneShape(config.embed_dim, tower.config.width, image_width(model))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
