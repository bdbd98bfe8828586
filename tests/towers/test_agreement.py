"""Whoever patches a model that computes something else than its family does is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_towers import TINY

from rtd_adapters.clip.agreement import require_agreement
from rtd_adapters.clip.text import TextTower, TowerConfig, find_tower, tower_from_model
from rtd_adapters.clip.text.activations import QuickGELU
from rtd_adapters.errors import BackboneError

OTHER_MASK = {"causal": "none", "none": "causal", "padding": "none", "coca": "causal"}
OTHER_POOLING = {"argmax": "first", "eos": "argmax", "last": "first", "first": "last"}


def described_otherwise(config: TowerConfig) -> dict[str, dict[str, Any]]:
    """What else could be said of a tower with the same tensors, part by part."""
    heads, whole = 2 * config.heads, config.heads * config.head_width
    others = {
        "mask": {"mask": OTHER_MASK[config.mask]},
        "activation": {"activation": "gelu" if config.activation == "quick_gelu" else "quick_gelu"},
        "pooling": {"pooling": OTHER_POOLING.get(config.pooling, "first")},
        "heads": {"heads": heads, "head_width": whole // heads},
        "eps": {"eps": 1e-4},
        "first_position": {"first_position": config.first_position + 1},
    }
    if config.block == "t5":  # its biases are by head, and its states so large that eps is nothing
        del others["heads"], others["eps"]
    if config.pooling == "appended":
        del others["pooling"]
    if not config.embedding_norm:  # only BERT's kin have rows to spare
        del others["first_position"]
    return others


@pytest.mark.parametrize("name", TINY)
def test_every_family_agrees_with_its_own_code(name, case, tower):
    require_agreement(find_tower(case.model), tower, name)


@pytest.mark.parametrize("name", TINY)
def test_a_part_that_is_described_wrongly_is_noticed(name, case, tower):
    live = find_tower(case.model)
    for change in described_otherwise(tower.config).values():
        wrong = TextTower(replace(tower.config, **change), tower.vocabulary).eval()
        wrong.load_state_dict(tower.state_dict())
        with pytest.raises(BackboneError, match=f"{name} computes something else than rtd knows"):
            require_agreement(live, wrong, name)


@pytest.mark.parametrize("name", TINY)
def test_a_model_whose_code_was_changed_is_noticed(name, fresh_case, tower):
    case = fresh_case(name)
    case.embedding.register_forward_hook(lambda module, given, output: 1.1 * output)
    with pytest.raises(BackboneError, match="Its library or the model itself was changed"):
        require_agreement(find_tower(case.model), tower, name)


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("open_clip CLIP", "mlp.gelu"),
        ("transformers SigLIP", "mlp.activation_fn"),
        ("transformers BLIP", "intermediate.intermediate_act_fn"),
    ],
)
def test_a_block_that_is_built_unlike_the_first_is_noticed(name, activation, fresh_case):
    case = fresh_case(name)
    live = find_tower(case.model)
    part, attribute = f"{live.family.layout.blocks}1.{activation}".rsplit(".", 1)
    setattr(case.model.get_submodule(part), attribute, QuickGELU())
    with pytest.raises(BackboneError, match="computes something else"):
        require_agreement(live, case.tower(), name)


@pytest.mark.parametrize("name", TINY)
def test_norms_that_differ_among_themselves_are_refused(name, fresh_case):
    case = fresh_case(name)
    before = find_tower(case.model)
    norms = [
        module
        for path, module in case.model.named_modules()
        if f"{path}.weight" in before.named_tensors() and is_norm(module)
    ]
    for norm in (norms[0], norms[-1]):
        set_eps(norm, 0.5)
        with pytest.raises(BackboneError, match="norms have eps"):
            find_tower(case.model)
    for norm in norms:
        set_eps(norm, 0.5)
    config = find_tower(case.model).config
    assert config == replace(before.config, eps=0.5)
    ids = case.ids()
    with torch.no_grad():
        ours, theirs = tower_from_model(case.model)(ids), case.encode(ids)
    units = [torch.nn.functional.normalize(rows, dim=-1) for rows in (ours, theirs)]
    assert (units[0] - units[1]).abs().max() <= 1e-5


def is_norm(module):
    return hasattr(module, "eps") or hasattr(module, "variance_epsilon")


def set_eps(norm, eps):
    setattr(norm, "eps" if hasattr(norm, "eps") else "variance_epsilon", eps)


def test_a_model_that_cannot_encode_is_an_error_with_a_reason(fresh_case):
    name = "open_clip SigLIP"
    case = fresh_case(name)
    tower = case.tower()

    def broken(*given):
        raise RuntimeError("no such operator")

    case.embedding.register_forward_hook(broken)
    with pytest.raises(BackboneError, match=r"own code \(no such operator\).*docs/towers.md"):
        require_agreement(find_tower(case.model), tower, name)
