"""A toy backbone and toy triplets: small enough for every test, real code all the way."""

from __future__ import annotations

import os
import random
import signal

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest


def pytest_configure() -> None:
    """A process that a shell started in the background ignores signals, and so would every process
    that a test starts."""
    usual_of = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):  # not on Windows
        usual_of[signal.SIGHUP] = signal.SIG_DFL
    for number, usual in usual_of.items():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session")
def toy_tower():
    """A random two-block text tower whose outputs differ clearly from text to text."""
    import torch

    from rtd_adapters.clip.text import TextTower, TowerConfig

    config = TowerConfig(
        width=64, layers=2, heads=2, embed_dim=32, activation="quick_gelu", context_length=32
    )
    generator = torch.Generator().manual_seed(0)
    tower = TextTower(config)
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            norm = name.endswith(".weight") and "ln_" in name
            parameter.copy_(noise * 0.1 + (1.0 if norm else 0.0))
    return tower.eval().requires_grad_(False)


@pytest.fixture
def toy_backbone(toy_tower):
    """The toy tower as a backbone without images."""
    import copy

    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.shapes import BackboneShape

    return Backbone(
        "toy", "random", copy.deepcopy(toy_tower), BackboneShape(32, 64, 64), None, None
    )


@pytest.fixture
def searle():
    """The searle method, as the registry finds it."""
    from rtd_adapters.methods.installed import get_method

    return get_method("searle")


@pytest.fixture
def toy_projection(searle, toy_backbone):
    """A random projection for the toy backbone, frozen."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(1)
        projection = searle.build_projection(toy_backbone.shape)
    return projection.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def toy_triplets():
    """300 distinct triplets."""
    from rtd_adapters.triplets import Triplet

    words = ["red", "blue", "green", "star", "circle", "square", "dog", "cat", "big", "small"]
    draw = random.Random(0)
    return [
        Triplet(
            f"a {draw.choice(words)} {draw.choice(words)} number {number}",
            f"is {draw.choice(words)}",
            f"one {draw.choice(words)} {draw.choice(words)} number {number}",
        )
        for number in range(300)
    ]


@pytest.fixture(scope="session")
def benchmark_folder(tmp_path_factory):
    """Writes a benchmark in miniature, once, and returns its folder."""
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parent / "evaluation" / "benchmark_folders.py"
    spec = importlib.util.spec_from_file_location("benchmark_folders", path)
    folders = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(folders)
    written = {}

    def make(name):
        writer = folders.WRITERS[name]
        if writer not in written:
            written[writer] = tmp_path_factory.mktemp(writer.__name__)
            writer(written[writer])
        return written[writer]

    return make


@pytest.fixture(scope="session")
def miniature_clip(tmp_path_factory):
    """A random CLIP with both towers and SEARLE's projection for it, as files: what `backbone`,
    `pretrained` and `projection` take."""
    import json

    import open_clip
    import torch

    from rtd_adapters import BackboneShape, get_method

    folder = tmp_path_factory.mktemp("clip")
    config, weights = folder / "miniature-clip.json", folder / "weights.pt"
    sizes = {
        "embed_dim": 32,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"width": 64, "heads": 2, "layers": 2},
    }
    config.write_text(json.dumps(sizes))
    open_clip.add_model_config(config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(config.stem)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        torch.save(model.state_dict(), weights)
        projection = get_method("searle").build_projection(BackboneShape(32, 64, 64))
        torch.save({"Phi": projection.state_dict()}, folder / "projection.pt")
    return {
        "backbone": str(config),
        "pretrained": str(weights),
        "projection": folder / "projection.pt",
    }
