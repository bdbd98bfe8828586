"""After `apply` a model's weights are the patch's, or nothing changed and an error says why."""

from __future__ import annotations

import gc
import threading

import pytest
import torch
from torch import nn

from rtd_adapters.errors import BackboneError, PatchError
from rtd_adapters.patch import TextEncoderPatch


@pytest.fixture
def kind():
    return "full"


@pytest.fixture
def model(live_model):
    return live_model("open_clip")


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model, before):
    return all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def second(patch):
    """Another patch of the same tower."""
    state = {name: tensor + 0.01 for name, tensor in patch.state().items()}
    return TextEncoderPatch(state, patch.metadata)


def hand_out_copies(model):
    model.register_state_dict_post_hook(
        lambda module, tensors, prefix, local: tensors.update(
            {name: tensor.clone() for name, tensor in tensors.items()}
        )
    )
    return model


def hand_out_one_copy(model):
    """The worst case: a copy that remembers what was written to it."""
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.register_state_dict_post_hook(lambda module, tensors, prefix, local: tensors.update(kept))
    return model


@pytest.mark.parametrize("wrap", [hand_out_copies, hand_out_one_copy])
def test_a_model_that_hands_out_copies_is_refused(wrap, trained, model):
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    copying = wrap(model)
    with pytest.raises(PatchError, match=r"did not reach .*Apply the patch to the plain model"):
        trained.apply(copying)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name
    with pytest.raises(PatchError, match="not on this model"):
        trained.revert(copying)


def test_weights_on_the_meta_device_are_refused(trained, model):
    with pytest.raises(BackboneError, match=r"embedding is on the meta device"):
        trained.apply(model.to("meta"))


def test_weights_that_accelerate_offloaded_are_refused(trained, model):
    from accelerate import cpu_offload

    cpu_offload(model, execution_device=torch.device("cpu"))
    with pytest.raises(BackboneError, match="before it is offloaded or dispatched"):
        trained.apply(model)


def test_weights_that_cannot_be_written_are_refused(trained, model):
    model.ln_final.bias = nn.Parameter(torch.zeros(1).expand(64), requires_grad=False)
    before = weights(model)
    with pytest.raises(PatchError, match="cannot be written"):
        trained.apply(model, force=True)
    assert same(model, before)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_a_patch_is_on_the_model_whatever_is_wrapped_round_it(wrap, trained, model):
    before = weights(model)
    wrapped = wrap(model)
    trained.apply(wrapped)
    assert not same(model, before)
    with pytest.raises(PatchError, match="on this model already"):
        trained.apply(model)
    del wrapped
    gc.collect()
    trained.revert(model)
    assert same(model, before)
    trained.apply(model)
    trained.revert(wrap(model))
    assert same(model, before)


def test_patches_come_off_in_the_order_of_a_stack(trained, model):
    before, upper = weights(model), second(trained)
    trained.apply(model)
    below = weights(model)
    upper.metadata.method = "the upper one"
    upper.apply(model, force=True)
    with pytest.raises(PatchError, match=r"on top of this one: .*the upper one"):
        trained.revert(model)
    upper.revert(model)
    assert same(model, below)
    trained.revert(model)
    assert same(model, before)


def test_a_forgotten_patch_is_in_nobodys_way(trained, model):
    before, upper = weights(model), second(trained)
    trained.apply(model)
    upper.apply(model, force=True)
    del upper
    gc.collect()
    trained.revert(model)
    assert same(model, before)


def test_a_tensor_tied_to_one_outside_the_tower_is_refused(trained, model):
    model.head = nn.Linear(64, 49408, bias=False)
    model.head.weight = model.token_embedding.weight
    before = weights(model)
    with pytest.raises(PatchError, match=r"token_embedding\.weight and head\.weight share memory"):
        trained.apply(model)
    assert same(model, before)


def test_a_buffer_that_is_one_of_the_towers_is_refused(trained, model):
    """As in a model whose frozen parameters were made buffers."""
    weight = model.token_embedding.weight.detach()
    del model.token_embedding.weight
    model.token_embedding.register_buffer("weight", weight)
    model.last = nn.Module()
    model.last.register_buffer("table", weight)
    with pytest.raises(PatchError, match=r"token_embedding\.weight and last\.table share memory"):
        trained.apply(model)


@pytest.mark.parametrize("rows", [slice(5, 7), slice(-2, None)])
def test_a_view_into_a_tensor_of_the_tower_is_refused(rows, trained, model):
    model.visual.register_buffer("rows", model.token_embedding.weight.detach()[rows])
    with pytest.raises(PatchError, match=r"visual\.rows share memory"):
        trained.apply(model)


def test_tied_blocks_are_refused_where_the_patch_has_two_values(trained, model):
    first, last = model.transformer.resblocks
    last.mlp.c_fc.weight = first.mlp.c_fc.weight
    before = weights(model)
    with pytest.raises(PatchError, match=r"0\.mlp\.c_fc\.weight and .*1\.mlp.* share memory"):
        trained.apply(model, force=True)
    assert same(model, before)


def test_tied_blocks_take_a_patch_that_has_one_value_for_both(trained, model):
    first, last = model.transformer.resblocks
    last.mlp.c_fc.weight = first.mlp.c_fc.weight
    state = dict(trained.state())
    names = [f"transformer.resblocks.{block}.mlp.c_fc.weight" for block in (0, 1)]
    state[names[1]] = state[names[0]]
    TextEncoderPatch(state, trained.metadata).apply(model, force=True)
    assert torch.equal(last.mlp.c_fc.weight, state[names[0]])


def test_tensors_that_overlap_are_refused_even_if_both_are_to_get_the_same(trained, model):
    """Their places differ, so no values but constant ones could stand in both."""
    block = torch.ones(96)
    model.ln_final.weight, model.ln_final.bias = nn.Parameter(block[:64]), nn.Parameter(block[32:])
    state = dict(trained.state())
    state["ln_final.weight"] = state["ln_final.bias"]
    with pytest.raises(PatchError, match=r"ln_final\.\w+ and ln_final\.\w+ share memory"):
        TextEncoderPatch(state, trained.metadata).apply(model, force=True)


def test_a_tie_is_found_behind_one_that_is_nobodys_business(trained, model):
    """Memory is looked through in order: here the tie of two tensors outside comes first."""
    block = torch.zeros(192)
    model.visual.register_buffer("one", block[:64])
    model.visual.register_buffer("other", block[:64])
    model.ln_final.weight = nn.Parameter(block[64:128])
    model.visual.register_buffer("third", block[64:128])
    with pytest.raises(PatchError, match=r"ln_final\.weight and visual\.third share memory"):
        trained.apply(model, force=True)


def test_a_tie_is_found_behind_one_that_the_patch_keeps(trained, model):
    block = torch.zeros(192)
    model.ln_final.weight = model.ln_final.bias = nn.Parameter(block[:64])
    model.transformer.resblocks[0].ln_1.weight = nn.Parameter(block[64:128])
    model.visual.register_buffer("third", block[64:128])
    state = dict(trained.state())
    state["ln_final.weight"] = state["ln_final.bias"]
    with pytest.raises(PatchError, match=r"ln_1\.weight and visual\.third share memory"):
        TextEncoderPatch(state, trained.metadata).apply(model, force=True)


def test_neighbours_in_one_storage_are_no_ties(trained, model):
    """Flattened parameters lie side by side in one storage."""
    block = torch.zeros(2 * 64)
    norm = model.ln_final
    with torch.no_grad():
        for half, name in ((block[:64], "weight"), (block[64:], "bias")):
            half.copy_(getattr(norm, name))
            setattr(norm, name, nn.Parameter(half))
    before = weights(model)
    with trained.applied(model):
        assert torch.equal(model.ln_final.bias, trained.state()["ln_final.bias"])
    assert same(model, before)


def test_threads_that_apply_at_once_do_not_mix_their_originals(trained, model):
    before = weights(model)
    outcomes = []

    def use():
        for _ in range(5):
            try:
                with trained.applied(model):
                    pass
            except PatchError as error:
                outcomes.append(str(error))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(model, before)
    assert all("already" in words for words in outcomes)
