"""KEDs' files: two streams and two banks, read and refused."""

from __future__ import annotations

import pytest
import torch
from rtd_plugins.keds import Keds
from rtd_plugins.keds.dual_stream import DualStream
from safetensors.torch import save_file

from rtd_adapters import BackboneShape, PatchJob, Reference, get_method
from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.errors import BackboneError, FileError, UsageError
from rtd_adapters.hooks.registry import registry
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.jobs.ledger import request_of
from rtd_adapters.methods.projections import (
    convert_projection,
    fill_projection,
    load_projection,
    open_projection,
)
from rtd_adapters.testing.towers import small_tower

SHAPE = BackboneShape(embed_dim=12, text_width=10, image_width=16)
PARTS = ("img2text", "retrieval_fuse", "text_condition")


def linear(name, out, inner):
    return {f"{name}.weight": (out, inner), f"{name}.bias": (out,)}


def stream_shapes(middle, inner):
    """Names and shapes of one stream's three state dicts for width 10 and embeddings of 12."""
    mapping = linear("layers.0.0", middle, 12) | linear("layers.1.0", middle, middle)
    mapping |= linear("fc_out", 10, middle)
    crossing = {}
    for layer in range(3):
        part = f"cross_layers.{layer}"
        for name in ("to_q", "to_k", "to_v"):
            crossing |= linear(f"{part}.{name}", inner, 10)
        crossing |= linear(f"{part}.to_out.0", 10, inner)
    return {"img2text": mapping, "retrieval_fuse": crossing, "text_condition": crossing}


def saved_stream(path, seed, prefix="", middle=512, heads=1, leave_out=()):
    """One stream as main.py writes it; its tensors by part and name."""
    generator = torch.Generator().manual_seed(seed)
    parts = {
        part: {name: torch.randn(shape, generator=generator) / 4 for name, shape in shapes.items()}
        for part, shapes in stream_shapes(middle, 64 * heads).items()
    }
    checkpoint = {"epoch": 3, "name": "run", "state_dict": {"module.logit_scale": torch.ones(())}}
    for part in PARTS:
        if part not in leave_out:
            named = {f"{prefix}{name}": tensor for name, tensor in parts[part].items()}
            checkpoint[f"state_dict_{part}"] = named
    checkpoint["optimizer"] = {"state": {}, "param_groups": [{"lr": 1e-4}]}
    torch.save(checkpoint, path)
    return {f"{part}.{name}": t for part, named in parts.items() for name, t in named.items()}


def files(folder):
    """Banks as the repository's, and the options that name them."""
    torch.manual_seed(6)
    banks = {"text_bank": torch.randn(30, 12), "image_bank": torch.randn(21, 12)}
    chosen = {"text_stream": str(folder / "text_stream.pt")}
    for name, bank in banks.items():
        torch.save(bank, folder / f"{name}.pt")
        chosen[name] = str(folder / f"{name}.pt")
    return banks, chosen


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_repositorys_files_are_read(tmp_path, prefix):
    first = saved_stream(tmp_path / "image_stream.pt", 1, prefix)
    second = saved_stream(tmp_path / "text_stream.pt", 2, prefix, middle=40, heads=1)
    banks, chosen = files(tmp_path)
    method = get_method("keds").configured(chosen)
    read = method.load_projection(tmp_path / "image_stream.pt", SHAPE)
    expected = {f"image_stream.{name}": tensor for name, tensor in first.items()}
    expected |= {f"text_stream.{name}": tensor for name, tensor in second.items()} | banks
    assert read.state_dict().keys() == expected.keys()
    assert all(torch.equal(read.state_dict()[name], expected[name]) for name in expected)
    assert not read.training
    assert not any(parameter.requires_grad for parameter in read.parameters())


def test_a_converted_file_holds_all_of_them_and_says_what_it_is_made_of(tmp_path):
    path, out = tmp_path / "image_stream.pt", tmp_path / "keds.safetensors"
    saved_stream(path, 1, heads=2)
    saved_stream(tmp_path / "text_stream.pt", 2, heads=2)
    method = get_method("keds").configured(files(tmp_path)[1])
    metadata = convert_projection(method, path, SHAPE, "toy", out)
    assert metadata["files"] == {
        name: file_sha256(tmp_path / f"{name}.pt")
        for name in ("text_stream", "text_bank", "image_bank")
    }
    first = method.load_projection(path, SHAPE).state_dict()
    again = get_method("keds").load_projection(out, SHAPE).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    with pytest.raises(UsageError, match=r"holds both streams and their banks. Leave --method-opt"):
        method.load_projection(out, SHAPE)


def test_what_a_stream_needs_beside_it_is_asked_for(tmp_path):
    path = tmp_path / "image_stream.pt"
    saved_stream(path, 1)
    saved_stream(tmp_path / "text_stream.pt", 2)
    _, chosen = files(tmp_path)
    for name in ("text_stream", "text_bank"):
        given = {option: value for option, value in chosen.items() if option != name}
        with pytest.raises(UsageError, match=f"keds needs --method-option {name}=VALUE"):
            get_method("keds").configured(given).load_projection(path, SHAPE)


def test_a_bank_of_captions_is_enough_for_training_with_captions(tmp_path):
    path = tmp_path / "image_stream.pt"
    saved_stream(path, 1)
    saved_stream(tmp_path / "text_stream.pt", 2)
    _, chosen = files(tmp_path)
    del chosen["image_bank"]
    tower = small_tower(BackboneShape(12, 10, 16), layers=1)
    tokenizer = Keds().tokenizer(tower)
    captions = Reference(torch.randn(2, 12), tower, tokenizer, ["a dog", "a cat"])
    pictures = Reference.of_pictures(captions.embedding, tower, tokenizer)
    method = get_method("keds").configured(chosen | {"stand_in": "captions"})
    projection = method.load_projection(path, SHAPE)
    assert len(method.composed(projection, captions, ["is red"] * 2).queries) == 2
    with pytest.raises(UsageError, match=r"has no bank of pictures. Pass --method-option image_b"):
        method.composed(projection, pictures, ["is red"] * 2)
    with pytest.raises(UsageError, match="--stand-in captions does without"):
        Keds().composed(projection, captions, ["is red"] * 2)


def test_a_bank_may_be_a_safetensors_file_of_one_tensor(tmp_path):
    path = tmp_path / "image_stream.pt"
    saved_stream(path, 1)
    saved_stream(tmp_path / "text_stream.pt", 2)
    banks, chosen = files(tmp_path)
    save_file({"bank": banks["text_bank"]}, tmp_path / "bank.safetensors")
    chosen["text_bank"] = str(tmp_path / "bank.safetensors")
    read = get_method("keds").configured(chosen).load_projection(path, SHAPE)
    assert torch.equal(read.text_bank, banks["text_bank"])


@pytest.mark.parametrize(
    ("bank", "said"),
    [
        (torch.randn(30, 11), r"is a bank of vectors \[11\], and this backbone's .* are \[12\]"),
        (torch.randn(15, 12), "is a bank of 15 vectors, and KEDs looks 16 neighbours up"),
        (torch.randn(30), r"holds a tensor \[30\] of float32, and a bank is one tensor \[N, 12\]"),
        (torch.ones(30, 12).int(), r"holds a tensor \[30, 12\] of int32"),
        ({"a": torch.ones(30, 12), "b": torch.ones(30, 12)}, "holds a dict, and a bank is one"),
    ],
)
def test_what_is_no_bank_is_refused(tmp_path, bank, said):
    path = tmp_path / "image_stream.pt"
    saved_stream(path, 1)
    saved_stream(tmp_path / "text_stream.pt", 2)
    _, chosen = files(tmp_path)
    torch.save(bank, tmp_path / "image_bank.pt")
    with pytest.raises(BackboneError, match=f"image_bank.pt {said}"):
        get_method("keds").configured(chosen).load_projection(path, SHAPE)


def test_a_bank_with_infinity_and_one_that_is_not_there_are_refused(tmp_path):
    path = tmp_path / "image_stream.pt"
    saved_stream(path, 1)
    saved_stream(tmp_path / "text_stream.pt", 2)
    banks, chosen = files(tmp_path)
    torch.save(banks["image_bank"].fill_(torch.inf), tmp_path / "image_bank.pt")
    with pytest.raises(BackboneError, match="its image_bank holds NaN or infinity"):
        get_method("keds").configured(chosen).load_projection(path, SHAPE)
    (tmp_path / "image_bank.pt").unlink()
    with pytest.raises(FileError, match=r"image_bank\.pt cannot be read"):
        get_method("keds").configured(chosen).load_projection(path, SHAPE)


def test_a_checkpoint_that_is_no_stream_is_refused(tmp_path):
    path = tmp_path / "own.pt"
    saved_stream(path, 1, leave_out=("text_condition",))
    with pytest.raises(BackboneError, match="no stream of KEDs: it lacks state_dict_text_condit"):
        get_method("keds").load_projection(path, SHAPE)
    tensors = get_method("pic2word").build_projection(SHAPE).state_dict()
    torch.save({"state_dict_img2text": tensors}, path)
    with pytest.raises(BackboneError, match="is a checkpoint of pic2word, not of keds"):
        open_projection(get_method("keds"), path, SHAPE, registry().methods.values())


def test_pic2word_does_not_take_a_streams_mapping_network_for_its_own(tmp_path):
    saved_stream(tmp_path / "image_stream.pt", 1)
    with pytest.raises(BackboneError, match=r"is a checkpoint of KEDs .* Pass --method keds"):
        get_method("pic2word").load_projection(tmp_path / "image_stream.pt", SHAPE)


def test_a_run_knows_the_files_of_options_by_their_content(tmp_path):
    path = tmp_path / "image_stream.pt"
    saved_stream(path, 1)
    saved_stream(tmp_path / "text_stream.pt", 2)
    banks, chosen = files(tmp_path)
    tower = small_tower(SHAPE, layers=1)
    backbone = Backbone("small", None, tower, SHAPE, None, None)
    method = get_method("keds").configured(chosen | {"stand_in": "captions"})
    _, source = load_projection(method, backbone, path)
    names = ("text_stream", "text_bank", "image_bank")
    assert source["files"] == {name: file_sha256(tmp_path / f"{name}.pt") for name in names}

    def asked():
        job = PatchJob("keds", tmp_path / "out", method_options=chosen | {"stand_in": "captions"})
        return request_of(job)["method options"]

    before = asked()
    assert before == source["files"] | {"stand_in": "captions"}
    torch.save(banks["text_bank"] + 1, tmp_path / "text_bank.pt")
    assert {name for name, value in asked().items() if value != before[name]} == {"text_bank"}


def test_a_fresh_projection_takes_what_a_fresh_one_has(toy_backbone, tmp_path):
    made = Keds().build_projection(toy_backbone.shape)
    torch.testing.assert_close(made.image_bank.norm(dim=1), torch.ones(32))
    again = DualStream.sized_like(made.state_dict(), 32, 64)
    assert fill_projection(again, made.state_dict(), tmp_path).state_dict().keys()
