"""Patches that nobody trained, for tests of what is done with one."""

import torch

from rtd_adapters import Backbone, TextEncoderPatch, get_method


def shaken_patch(backbone: Backbone, by: float = 0.03, method: str = "searle", seed: int = 2):
    """A full patch whose every tensor is the base's and noise of that size."""
    made = TextEncoderPatch.create("full", backbone, get_method(method))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in made.student.parameters():
            parameter.add_(torch.randn_like(parameter) * by)
    return made
