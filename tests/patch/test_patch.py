"""Patches go onto live models, come off again, and refuse what they were not trained for."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rtd_adapters.clip.text import to_layout
from rtd_adapters.errors import FileError, PatchError, RtdError, UsageError
from rtd_adapters.patch import TextEncoderPatch, apply, surviving_share
from rtd_adapters.patch.fit import require_same_shapes
from rtd_adapters.patch.metadata import PatchMetadata


@pytest.fixture
def saved(trained, tmp_path):
    path = tmp_path / "weights.safetensors"
    trained.save(path)
    return path


def models():
    return ("openai", "open_clip", "open_clip_custom", "transformers", "transformers_full")


@pytest.mark.parametrize("which", models())
def test_applying_equals_loading_the_file_by_hand(
    which, saved, toy_tower, ids, live_model, features
):
    patched, by_hand = live_model(which), live_model(which)
    before = features(patched, ids)
    apply(patched, saved)
    layout = {"open_clip_custom": "open_clip_custom"}.get(which, "openai")
    layout = "hf" if which.startswith("transformers") else layout
    tensors = load_file(saved)
    if layout != "openai":
        tensors = TextEncoderPatch.load(saved).state_dict(layout)
    _, unexpected = by_hand.load_state_dict(tensors, strict=False)
    assert not unexpected
    after = features(patched, ids)
    assert torch.equal(after, features(by_hand, ids))
    assert (after - before).abs().max() > 0.01


@pytest.mark.parametrize("which", models())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_revert_restores_every_tensor_bit_for_bit(which, dtype, trained, live_model):
    model = live_model(which).to(dtype)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained.apply(model)
    assert any(not torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert all(tensor.dtype == before[n].dtype for n, tensor in model.state_dict().items())
    trained.revert(model)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_images_are_never_touched(trained, live_model):
    model = live_model("open_clip")
    before = {n: t.clone() for n, t in model.state_dict().items() if n.startswith("visual.")}
    trained.apply(model)
    assert before
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in before)


def test_strength_interpolates_weights(trained, live_model):
    model = live_model("open_clip")
    name = "transformer.resblocks.0.attn.in_proj_weight"
    base = model.state_dict()[name].clone()
    patched = trained.state_dict("openai")[name]
    for strength in (0.0, 0.25, 1.0):
        with trained.applied(model, strength):
            expected = base.double() + strength * (patched.double() - base.double())
            assert torch.allclose(model.state_dict()[name].double(), expected, atol=1e-7, rtol=0)
    assert torch.equal(model.state_dict()[name], base)


def test_applied_takes_the_patch_off_when_the_block_fails(trained, live_model):
    model = live_model("open_clip")
    before = model.token_embedding.weight.clone()
    with pytest.raises(RuntimeError, match="inside"), trained.applied(model):
        raise RuntimeError("inside")
    assert torch.equal(model.token_embedding.weight, before)


def test_a_foreign_model_is_refused_with_both_fingerprints(trained, live_model):
    model = live_model("open_clip")
    with torch.no_grad():
        model.positional_embedding[0, 0] += 1
    before = model.positional_embedding.clone()
    with pytest.raises(PatchError) as caught:
        trained.apply(model)
    assert trained.metadata.base_fingerprint["fp32"][:12] in str(caught.value)
    from rtd_adapters.clip.text import find_tower, fingerprint

    assert fingerprint(find_tower(model).state())["fp32"][:12] in str(caught.value)
    assert "--force" in str(caught.value)
    assert torch.equal(model.positional_embedding, before)
    trained.apply(model, force=True)
    assert not torch.equal(model.positional_embedding, before)


def test_a_patch_goes_on_once(trained, saved, live_model):
    model = live_model("open_clip")
    trained.apply(model)
    with pytest.raises(PatchError, match="on this model already"):
        trained.apply(model)
    with pytest.raises(PatchError, match="already carries"):
        apply(model, saved)
    trained.revert(model)
    with pytest.raises(PatchError, match="nothing to revert"):
        trained.revert(model)


@pytest.mark.parametrize("layout", ["openai", "open_clip_custom", "hf"])
def test_state_dict_speaks_every_layout(layout, trained):
    expected = to_layout(trained.state(), layout)
    found = trained.state_dict(layout)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_file_is_reproducible_readable_by_all_and_has_one_metadata_key(trained, tmp_path):
    digests = set()
    for number in range(4):
        path = tmp_path / f"{number}.safetensors"
        trained.save(path)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        assert path.stat().st_mode & 0o777 == 0o644
    assert len(digests) == 1
    with safe_open(path, "pt") as file:
        assert list(file.metadata()) == ["rtd"]
        metadata = json.loads(file.metadata()["rtd"])
    assert metadata["method"] == "searle"
    assert metadata["tower"]["activation"] == "quick_gelu"
    assert {"torch", "open_clip_torch", "peft"} <= metadata["versions"].keys()


def test_loading_gives_back_what_was_saved(trained, saved):
    loaded = TextEncoderPatch.load(saved)
    assert loaded.metadata.fingerprint == trained.metadata.fingerprint
    state = trained.state()
    assert all(torch.equal(loaded.state()[name], state[name]) for name in state)


def test_a_changed_file_is_noticed(saved):
    tensors = load_file(saved)
    with safe_open(saved, "pt") as file:
        header = file.metadata()
    tensors["ln_final.bias"][0] += 1e-3
    save_file(tensors, saved, metadata=header)
    with pytest.raises(PatchError, match="changed after it was saved"):
        TextEncoderPatch.load(saved)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": "pt"}, "is a safetensors file but no patch"),
        ({"rtd": "{"}, "damaged 'rtd' metadata"),
        ({"rtd": "[]"}, "damaged 'rtd' metadata"),
        ({"rtd": '{"schema": 99}'}, "Upgrade rtd-adapters"),
        ({"rtd": '{"schema": 1}'}, "damaged 'rtd' metadata"),
    ],
)
def test_files_that_are_no_patch(header, message, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(PatchError, match=message):
        TextEncoderPatch.load(path)


@pytest.mark.parametrize("content", [None, b"", b"\x08" * 100])
def test_files_that_cannot_be_read(content, tmp_path):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"weights\.safetensors"):
        TextEncoderPatch.load(path)


def test_a_truncated_patch_cannot_be_read(saved):
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(FileError, match=r"weights\.safetensors"):
        TextEncoderPatch.load(saved)


def test_half_precision_files_hold_rounded_values_and_their_own_fingerprint(trained, tmp_path):
    path = tmp_path / "half.safetensors"
    trained.save(path, dtype="fp16")
    loaded = TextEncoderPatch.load(path)
    name = "ln_final.weight"
    assert loaded.state()[name].dtype == torch.float16
    assert torch.equal(loaded.state()[name], trained.state()[name].half())
    with pytest.raises(UsageError, match="fp32, fp16, bf16"):
        trained.save(path, dtype="int8")


def test_surviving_share_by_hand():
    base = {"w": torch.tensor([1.0, 1.0, 0.5])}
    patched = {"w": torch.tensor([1.0 + 2**-20, 1.0 + 2**-9, 0.5])}
    # fp16 near 1 has steps of 2^-10: the first change is lost whole, the second kept exactly.
    lost, kept = 2.0**-20, 2.0**-9
    expected = 1 - lost / (lost**2 + kept**2) ** 0.5
    assert surviving_share(base, patched, torch.float16) == pytest.approx(expected)
    assert surviving_share(base, patched, torch.float32) == 1.0
    assert surviving_share(base, base, torch.float16) == 1.0


def test_a_patch_is_called_by_twelve_digits_of_its_fingerprint(trained):
    digits = trained.metadata.fingerprint["fp32"]
    assert trained.metadata.title.endswith(f"(fingerprint {digits[:12]})")


@pytest.mark.parametrize(("there", "size"), [({}, "absent"), ({"a": torch.zeros(3)}, r"\[3\]")])
def test_a_tensor_that_is_absent_or_of_another_shape_is_named(there, size):
    with pytest.raises(PatchError, match=rf"a is \[2\] in the patch and {size} in the model"):
        require_same_shapes({"a": torch.zeros(2)}, there)
    with pytest.raises(PatchError, match=r"b is absent in the patch and \[1\] in the model"):
        require_same_shapes({"a": torch.zeros(2)}, {"a": torch.ones(2), "b": torch.ones(1)})
    require_same_shapes({"a": torch.zeros(2)}, {"a": torch.ones(2)})


def test_the_seed_is_0_unless_given(toy_backbone, searle):
    def factors(**seed):
        patch = TextEncoderPatch.create("lora", toy_backbone, searle, **seed)
        return [p.clone() for p in patch.student.parameters() if p.requires_grad]

    same = zip(factors(), factors(seed=0), strict=True)
    assert all(torch.equal(one, other) for one, other in same)
    assert not all(torch.equal(*pair) for pair in zip(factors(), factors(seed=1), strict=True))


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (None, "metadata: tower is no dict"),
        ({"layers": 3}, "has 2 blocks, another number than the 3"),
        ({"vocab_size": 10**12}, "another text tower than its tensors make: vocab_size"),
        ({"heads": 2.0}, "heads is a whole number, not 2.0"),
        ({"heads": 5}, "head_width is 32 there, 12 here"),
    ],
)
def test_metadata_that_describe_another_tower_are_refused(lie, message, saved, tmp_path):
    tensors, path = load_file(saved), tmp_path / "lie.safetensors"
    with safe_open(saved, "pt") as file:
        header = json.loads(file.metadata()["rtd"])
    header["tower"] = None if lie is None else header["tower"] | lie
    save_file(tensors, path, metadata={"rtd": json.dumps(header)})
    with pytest.raises(RtdError, match=message):
        TextEncoderPatch.load(path).build_tower()


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"tower": {"width": 64}}, "tower has no text 'activation'"),
        ({"fingerprint": {}}, "fingerprint has no text 'fp32'"),
        ({"base_fingerprint": {"fp32": 7}}, "base_fingerprint has no text 'fp32'"),
        ({"kind": "lora", "lora": {"rank": 8}}, "lora has no number 'alpha'"),
    ],
)
def test_metadata_that_lack_what_is_read_of_them_are_refused_where_they_are_read(
    lie, message, saved
):
    with safe_open(saved, "pt") as file:
        header = json.loads(file.metadata()["rtd"])
    PatchMetadata.from_header({"rtd": json.dumps(header)}, "file")
    with pytest.raises(PatchError, match=rf"file has damaged 'rtd' metadata: {message}"):
        PatchMetadata.from_header({"rtd": json.dumps(header | lie)}, "file")


def test_a_run_with_other_options_of_its_method_is_another(toy_backbone, searle):
    """So that no checkpoint of one stand-in is resumed with another."""
    patch = TextEncoderPatch.create("full", toy_backbone, searle)
    patch.metadata.projection = {"sha256": "0" * 64}
    plain = patch.identity()
    patch.metadata.projection["options"] = {"stand_in": "caption"}
    assert patch.identity() == plain | {"options": {"stand_in": "caption"}}


def test_an_unknown_kind_is_a_usage_error(toy_backbone, searle):
    with pytest.raises(UsageError, match="full, lora"):
        TextEncoderPatch.create("dora", toy_backbone, searle)


def test_an_untrained_patch_equals_its_base(kind, toy_backbone, searle):
    patch = TextEncoderPatch.create(kind, toy_backbone, searle)
    base = toy_backbone.tower.state_dict()
    assert all(torch.equal(patch.state()[name], base[name]) for name in base)
