"""Exported files: what the real loaders make of them computes what `apply` computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from rtd_plugins.fti4cir.export import write_clip
from shaken_patches import shaken_patch

import rtd_adapters
from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.clip.text import Tokenizer, from_layout, tower_from_state_dict
from rtd_adapters.errors import BackboneError, FileError, PatchError, UsageError
from rtd_adapters.export.base import read_base
from rtd_adapters.export.exporter import Exporter, ExportJob
from rtd_adapters.export.run import export_patch
from rtd_adapters.hooks.registry import registry
from rtd_adapters.patch import TextEncoderPatch

SHAPE = BackboneShape(32, 64, 64)


@pytest.fixture(scope="module")
def clip():
    """A whole small CLIP in OpenAI's names, with heads 64 wide."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=16, image_size=32)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=2)
    model = CLIP(32, vision, text, quick_gelu=True).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln_" not in name and name != "logit_scale":
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def base(clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "clip.pt"
    torch.save(clip, path)
    return path


def patch_of(clip):
    """A patch that changes every tensor of the text tower."""
    tower = tower_from_state_dict(clip, heads=1, activation="quick_gelu")
    backbone = Backbone("small", None, tower, SHAPE, None, None)
    return shaken_patch(backbone)


@pytest.fixture(scope="module")
def patch(clip):
    return patch_of(clip)


@pytest.fixture
def ids():
    return Tokenizer(77).encode(["a photo of a dog", "two red stars on a dark wall"])


@pytest.fixture
def expected(clip, patch, ids):
    """Embeddings by the patched tower in fp32."""
    tower = tower_from_state_dict(clip, heads=1, activation="quick_gelu")
    tower.load_state_dict(patch.state())
    with torch.no_grad():
        return tower(ids)


def openai_load(path):
    clip = pytest.importorskip("clip")
    return clip.load(str(path), device="cpu", jit=False)[0].float().eval()


@pytest.mark.parametrize("target", ["searle", "fti4cir"])
def test_openai_clip_loads_the_carrier(target, patch, base, tmp_path, ids, expected):
    out, phi = tmp_path / "out", tmp_path / "phi.pt"
    module = rtd_adapters.get_method("searle").build_projection(SHAPE)
    torch.save({"Phi": module.state_dict()}, phi)
    done = export_patch(ExportJob(patch, out, base, phi), target)
    path = out / "clip.pt" if target == "searle" else out
    with torch.no_grad():
        found = openai_load(path).encode_text(ids)
    # OpenAI's loader rounds most weights to fp16, and nothing but that sets the two apart.
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=5e-3)
    assert done.surviving == pytest.approx(_share_kept(openai_load(path), patch, base), abs=1e-3)
    if target == "searle":
        settings = json.loads((out / "hyperparameters.json").read_text())
        assert settings == {"clip_model_name": str(path.resolve()), "phi_dropout": 0.5}
        written = torch.load(out / "checkpoints" / "phi.pt", weights_only=True)
        assert written["epoch"] == 0
        kept = written["Phi"]
        assert all(torch.equal(kept[key], value) for key, value in module.state_dict().items())


def _share_kept(loaded, patch, base):
    """1 - ||loaded - patched|| / ||patched - base||, over the whole text tower, by hand."""
    _, found = from_layout(dict(loaded.state_dict()))
    _, before = from_layout(torch.load(base, weights_only=True))
    wanted = patch.state()
    lost = sum((found[n].double() - wanted[n].double()).square().sum() for n in wanted)
    change = sum((wanted[n].double() - before[n].double()).square().sum() for n in wanted)
    return 1 - (lost / change).sqrt().item()


@pytest.mark.parametrize("target", ["pic2word", "context_i2w"])
def test_a_resume_checkpoint_keeps_the_users_projection(target, patch, clip, tmp_path):
    own = {
        "epoch": 7,
        "name": "mine",
        "state_dict": {f"module.{name}": tensor for name, tensor in clip.items()},
        "state_dict_img2text": {"module.fc_out.weight": torch.randn(3, 3)},
        "optimizer": {"state": {}},
    }
    torch.save(own, tmp_path / "own.pt")
    done = export_patch(ExportJob(patch, tmp_path / "new.pt", tmp_path / "own.pt"), target)
    found = torch.load(tmp_path / "new.pt", weights_only=True)
    assert done.surviving is None
    assert found["epoch"] == 7
    weight = found["state_dict_img2text"]["module.fc_out.weight"]
    assert torch.equal(weight, own["state_dict_img2text"]["module.fc_out.weight"])
    assert found["state_dict"].keys() == clip.keys()
    _, tower = from_layout(found["state_dict"])
    assert all(torch.equal(tower[name], tensor) for name, tensor in patch.state().items())
    assert torch.equal(found["state_dict"]["visual.proj"], clip["visual.proj"])


@pytest.mark.parametrize("target", ["pic2word", "context_i2w"])
def test_a_checkpoint_without_an_epoch_begins_at_the_first(target, patch, clip, tmp_path):
    """Their `--resume` reads one; files that hold the projection alone have none."""
    own = {"state_dict": clip, "state_dict_img2text": {"fc_out.weight": torch.ones(2, 2)}}
    torch.save(own, tmp_path / "own.pt")
    export_patch(ExportJob(patch, tmp_path / "new.pt", tmp_path / "own.pt"), target)
    found = torch.load(tmp_path / "new.pt", weights_only=True)
    assert found.keys() == {"epoch", *own}
    assert found["epoch"] == 0


KEDS = ("state_dict_img2text", "state_dict_retrieval_fuse", "state_dict_text_condition")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_keds_file_loads_wrapped_and_unwrapped(prefix, patch, clip, tmp_path):
    """With --distributed its script loads into wrapped networks, the CLIP without strictness."""
    networks = {name: {f"{prefix}a.weight": torch.randn(3, 3)} for name in KEDS}
    own = {"epoch": 7, "name": "mine", "state_dict": {f"{prefix}{n}": t for n, t in clip.items()}}
    torch.save(own | networks | {"optimizer": {"state": {}}}, tmp_path / "own.pt")
    done = export_patch(ExportJob(patch, tmp_path / "new.pt", tmp_path / "own.pt"), "keds")
    found = torch.load(tmp_path / "new.pt", weights_only=True)
    assert done.surviving is None
    assert found.keys() == own.keys() | set(KEDS)
    assert (found["epoch"], found["name"]) == (7, "mine")
    assert found["state_dict"].keys() == {f"module.{name}" for name in clip}
    _, tower = from_layout(found["state_dict"])
    assert all(torch.equal(tower[name], tensor) for name, tensor in patch.state().items())
    assert torch.equal(found["state_dict"]["module.visual.proj"], clip["visual.proj"])
    for name, tensors in networks.items():
        assert found[name].keys() == {"module.a.weight"}
        assert torch.equal(found[name]["module.a.weight"], tensors[f"{prefix}a.weight"])


def test_a_checkpoint_of_keds_is_not_taken_for_pic2words_nor_the_other_way(patch, clip, tmp_path):
    held = {name: {"fc_out.weight": torch.ones(2, 2)} for name in KEDS}
    job = ExportJob(patch, tmp_path / "out.pt", tmp_path / "own.pt")
    torch.save({"state_dict": clip} | held, tmp_path / "own.pt")
    refused(job, "pic2word", UsageError, "is a checkpoint of KEDs .* Pass --for keds")
    del held["state_dict_text_condition"]
    torch.save({"state_dict": clip} | held, tmp_path / "own.pt")
    refused(job, "keds", BackboneError, "it lacks state_dict_text_condition")


def hf_folder(folder, clip):
    from transformers import CLIPConfig, CLIPModel

    from rtd_adapters.clip.text import to_layout

    text = {
        "vocab_size": 49408,
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "eos_token_id": 2,
        "projection_dim": 32,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 32,
        "patch_size": 16,
        "projection_dim": 32,
    }
    torch.manual_seed(2)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32))
    model.load_state_dict(to_layout(from_layout(clip)[1], "hf"), strict=False)
    model.save_pretrained(folder)
    return model


def test_a_transformers_folder_has_both_towers(patch, clip, tmp_path, ids, expected):
    from transformers import CLIPModel, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

    original = hf_folder(tmp_path / "base", clip)
    beside = {"notes.txt": True, "extra.json": True, "pytorch_model.bin.index.json": False}
    for name in (*beside, "flax_model.msgpack"):
        (tmp_path / "base" / name).write_text("{}")
    done = export_patch(ExportJob(patch, tmp_path / "new", tmp_path / "base"), "lincir")
    kept = {path.name for path in (tmp_path / "new").iterdir()}
    assert kept >= {"config.json", "notes.txt", "extra.json"}
    assert not kept & {"pytorch_model.bin.index.json", "flax_model.msgpack"}
    assert 0 < done.surviving < 1
    text = CLIPTextModelWithProjection.from_pretrained(tmp_path / "new").eval()
    with torch.no_grad():
        found = text(input_ids=ids).text_embeds
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    vision, report = CLIPVisionModelWithProjection.from_pretrained(
        tmp_path / "new", output_loading_info=True
    )
    assert not report["missing_keys"]
    own = original.vision_model.state_dict()
    assert all(torch.equal(vision.vision_model.state_dict()[name], own[name]) for name in own)
    assert CLIPModel.from_pretrained(tmp_path / "new").config.projection_dim == 32


def test_the_official_scripts_file_holds_the_text_tower(patch, base, tmp_path):
    export_patch(ExportJob(patch, tmp_path / "rtd.pt", base), "rtd")
    found = torch.load(tmp_path / "rtd.pt", weights_only=True)
    _, tower = from_layout(found["CLIPTextModelWithProjection"])
    assert all(torch.equal(tower[name], tensor) for name, tensor in patch.state().items())


def test_a_transformers_folder_serves_as_a_base(patch, clip, tmp_path):
    """Its image tower is in another layout than the repository's, which is refused in words."""
    hf_folder(tmp_path / "base", clip)
    job = ExportJob(patch, tmp_path / "rtd.pt", tmp_path / "base")
    base = read_base(job)
    assert all(torch.equal(base.tower[name], clip[name]) for name in ("ln_final.bias",))
    assert any(name.startswith("vision_model.") for name in base.tensors)
    refused(job, "fti4cir", PatchError, "no image tower")
    assert export_patch(job, "rtd").out.exists()


def test_the_patchs_own_backbone_is_the_base_by_default(patch, clip, tmp_path):
    hf_folder(tmp_path / "base", clip)
    patch = patch_of(clip)
    job = ExportJob(patch, tmp_path / "rtd.pt")
    refused(job, "rtd", BackboneError, "backbone small cannot be loaded again.*--base")
    patch.metadata.backbone = str(tmp_path / "base")
    assert export_patch(job, "rtd").out.exists()
    assert (export_patch(ExportJob(patch, tmp_path / "new"), "lincir").out / "config.json").exists()


# Strengths


def between(clip, patch, strength):
    """Base and patch mixed in float64, under `TextTower`'s names."""
    _, base = from_layout(clip)
    after = patch.state()
    return {n: base[n].double() * (1 - strength) + after[n].double() * strength for n in after}


def written(target, out):
    """The text tower in an exported file or folder, read without any code of the exporters."""
    if target == "lincir":
        from transformers import CLIPTextModelWithProjection

        return from_layout(CLIPTextModelWithProjection.from_pretrained(out).state_dict())[1]
    if target in ("searle", "fti4cir"):
        path = out / "clip.pt" if target == "searle" else out
        return from_layout(torch.jit.load(str(path)).state_dict())[1]
    content = torch.load(out, weights_only=True)
    return from_layout(content.get("state_dict") or content["CLIPTextModelWithProjection"])[1]


def job_at(strength, target, patch, clip, base, folder):
    """An export with whatever its target needs."""
    phi, own = folder / "phi.pt", folder / "own.pt"
    if target == "searle":
        torch.save(
            {"Phi": rtd_adapters.get_method("searle").build_projection(SHAPE).state_dict()}, phi
        )
    if target == "lincir":
        base = folder / "base"
        hf_folder(base, clip)
    if target in ("pic2word", "context_i2w", "keds"):
        networks = KEDS if target == "keds" else KEDS[:1]
        held = {name: {"fc_out.weight": torch.ones(2, 2)} for name in networks}
        torch.save({"state_dict": clip} | held, own)
        base = own
    return ExportJob(
        patch, folder / "out", base, phi if target == "searle" else None, strength=strength
    )


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("target", sorted(set(registry().exporters) - {"onnx"}))  # test_onnx.py
def test_every_exporter_writes_the_tower_at_its_strength(
    target, strength, patch, clip, base, tmp_path
):
    export_patch(job_at(strength, target, patch, clip, base, tmp_path), target)
    found, expected = written(target, tmp_path / "out"), between(clip, patch, strength)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name].double(), tensor, rtol=1e-6, atol=1e-7)
    if strength in (0.0, 1.0):
        whole = patch.state() if strength else from_layout(clip)[1]
        assert all(torch.equal(found[name], whole[name]) for name in found)


def test_openai_clip_computes_what_lies_between(patch, clip, base, tmp_path, ids):
    export_patch(ExportJob(patch, tmp_path / "out", base, strength=0.3), "fti4cir")
    tower, whole = (tower_from_state_dict(clip, heads=1, activation="quick_gelu") for _ in "12")
    tower.double().load_state_dict(between(clip, patch, 0.3))
    whole.load_state_dict(patch.state())
    with torch.no_grad():
        expected, found = tower(ids).float(), openai_load(tmp_path / "out").encode_text(ids)
        assert not torch.allclose(whole(ids), expected, rtol=2e-2, atol=5e-3)
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=5e-3)


def test_what_survives_is_a_share_of_the_change_at_that_strength(patch, clip, base, tmp_path):
    """By the base and the export as OpenAI's own loader holds them."""
    loaded = {}
    for strength in (0.0, 0.3):
        out = tmp_path / str(strength)
        done = export_patch(ExportJob(patch, out, base, strength=strength), "fti4cir")
        loaded[strength] = from_layout(dict(openai_load(out).state_dict()))[1]
    wanted, before = between(clip, patch, 0.3), between(clip, patch, 0.0)
    change = {n: wanted[n] - before[n] for n in wanted}
    lost = {n: loaded[0.3][n].double() - loaded[0.0][n].double() - change[n] for n in wanted}
    share = sum(t.square().sum() for t in lost.values()) / sum(
        t.square().sum() for t in change.values()
    )
    assert 1 - done.surviving == pytest.approx(share.sqrt().item(), rel=0.01)


@pytest.mark.parametrize(("strength", "about"), [(1.0, {}), (0.5, {"strength": 0.5})])
def test_searles_record_says_the_strength(strength, about, patch, clip, base, tmp_path):
    export_patch(job_at(strength, "searle", patch, clip, base, tmp_path), "searle")
    path = tmp_path / "out"
    assert json.loads((path / "hyperparameters.json").read_text()) == {
        "clip_model_name": str(path.resolve() / "clip.pt"), "phi_dropout": 0.5, **about
    }  # fmt: skip


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_beyond_base_and_patch(strength, patch, tmp_path):
    """It is refused before anything is read."""
    job = ExportJob(patch, tmp_path / "out", tmp_path / "missing.pt", strength=strength)
    refused(job, "fti4cir", UsageError, "--strength is")


def test_an_exporter_that_knows_no_strengths(patch, base, tmp_path, monkeypatch):
    own = Exporter("mine", "", write_clip)
    monkeypatch.setitem(registry().exporters, "mine", own)
    job = ExportJob(patch, tmp_path / "out", base, strength=0.5)
    refused(job, "mine", UsageError, "mine exports whole patches only. Leave --strength at 1")
    assert export_patch(replace(job, strength=1.0), "mine").out.exists()


# What bad input gets


def refused(job, target, error, match):
    before = sorted(job.out.parent.rglob("*"))
    with pytest.raises(error, match=match):
        export_patch(job, target)
    assert sorted(job.out.parent.rglob("*")) == before, "something was left behind"


def test_missing_inputs_are_asked_for(patch, base, tmp_path):
    out = tmp_path / "out"
    refused(ExportJob(patch, out, base), "searle", UsageError, "needs --projection")
    refused(ExportJob(patch, out), "pic2word", UsageError, "Pass --base")
    refused(ExportJob(patch, out, base), "lincir", UsageError, "folder of the transformers")
    refused(ExportJob(patch, out, base), "combiner", UsageError, "'combiner'.*searle")
    refused(ExportJob(patch, out, base), "pic2word", BackboneError, "no 'state_dict_img2text'")


def test_the_first_five_keys_of_another_file_are_shown(patch, tmp_path):
    for content, shown in (
        ({f"k{n}": torch.ones(1) for n in range(7)}, r"\(k0, k1, k2, k3, k4\)"),
        ([torch.ones(1)], r"\(no keys\)"),
    ):
        torch.save(content, tmp_path / "other.pt")
        job = ExportJob(patch, tmp_path / "out", tmp_path / "other.pt")
        refused(job, "pic2word", BackboneError, f"no 'state_dict_img2text' {shown}")


def test_a_base_that_the_patch_was_not_made_for(patch, clip, tmp_path):
    other = dict(clip, positional_embedding=clip["positional_embedding"] + 1)
    torch.save(other, tmp_path / "other.pt")
    job = ExportJob(patch, tmp_path / "out.pt", tmp_path / "other.pt")
    refused(job, "fti4cir", PatchError, "force")
    forced = ExportJob(patch, tmp_path / "out.pt", tmp_path / "other.pt", force=True)
    assert export_patch(forced, "fti4cir").out.exists()


def test_a_base_without_an_image_tower(patch, clip, tmp_path):
    text = {name: t for name, t in clip.items() if not name.startswith("visual")}
    torch.save(text, tmp_path / "text.pt")
    job = ExportJob(patch, tmp_path / "out.pt", tmp_path / "text.pt")
    refused(job, "fti4cir", PatchError, "no image tower")


def test_a_truncated_base(patch, base, tmp_path):
    short = tmp_path / "short.pt"
    short.write_bytes(base.read_bytes()[:5000])
    refused(ExportJob(patch, tmp_path / "out.pt", short), "fti4cir", FileError, "truncated")


def test_a_folder_that_lacks_its_image_tower(patch, clip, tmp_path):
    from safetensors.torch import load_file, save_file

    hf_folder(tmp_path / "base", clip)
    file = tmp_path / "base" / "model.safetensors"
    tensors = load_file(file)
    text = {name: t for name, t in tensors.items() if not name.startswith("vision")}
    save_file(text, file, metadata={"format": "pt"})
    job = ExportJob(patch, tmp_path / "new", tmp_path / "base")
    refused(job, "lincir", BackboneError, "lacks")


def test_another_activation_than_openais(patch, clip, base, tmp_path):
    patch = patch_of(clip)
    patch.metadata.tower = patch.metadata.tower | {"activation": "gelu"}
    job = ExportJob(patch, tmp_path / "out.pt", base)
    refused(job, "fti4cir", PatchError, "small, with gelu and 1 heads in width 64")


def test_a_tower_that_openais_builder_cannot_make(toy_backbone, searle, tmp_path):
    untrained = TextEncoderPatch.create("full", toy_backbone, searle)  # heads of width 32
    job = ExportJob(untrained, tmp_path / "out.pt", tmp_path / "any.pt")
    refused(job, "fti4cir", PatchError, "heads of width 64")


@pytest.mark.parametrize("target", sorted(registry().exporters))
def test_nothing_is_replaced_unasked(target, patch, base, tmp_path):
    out = tmp_path / "out"
    if registry().exporters[target].folder:
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        out.write_text("mine")
    refused(ExportJob(patch, out, base, base), target, FileError, "--overwrite")


@pytest.mark.parametrize(
    "target", sorted(name for name, exporter in registry().exporters.items() if exporter.folder)
)
def test_a_folder_with_anybody_elses_files_is_not_replaced_even_if_asked(
    target, patch, base, tmp_path
):
    out = tmp_path / "out"
    (out / "theirs").mkdir(parents=True)
    (out / "theirs" / "notes.txt").write_text("mine")
    job = ExportJob(patch, out, base, base, overwrite=True)
    refused(job, target, FileError, r"did not write \(theirs/notes\.txt\)")


@pytest.mark.parametrize("target", ["fti4cir", "rtd"])
def test_a_full_disk_leaves_nothing(target, patch, base, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused(ExportJob(patch, tmp_path / "out", base), target, FileError, "No space left")


def test_a_patch_that_describes_another_tower_than_it_holds_is_not_exported(patch, base, tmp_path):
    tower = patch.metadata.tower | {"embed_dim": 64}
    lying = TextEncoderPatch(patch.state(), replace(patch.metadata, tower=tower))
    with pytest.raises(PatchError, match="describe another text tower"):
        export_patch(ExportJob(lying, tmp_path / "out", base), "rtd")
    assert not list(tmp_path.glob("out*"))


def test_an_exporter_writes_one_file_for_openais_builder_unless_it_says_otherwise():
    plain = Exporter("repository", "load {out}", lambda job: None)
    assert (plain.folder, plain.rounded, plain.openai_builder) == (False, None, True)


def test_a_full_disk_ends_the_writing_of_an_archive_not_the_process(tmp_path):
    """The system lets no file grow beyond 64 KiB, which torch's writer sees as a full disk."""
    code = (
        "import resource, signal, sys, pathlib, torch\n"
        "from rtd_adapters.errors import FileError\n"
        "from rtd_adapters.export.torchscript import write_torchscript\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "try:\n"
        "    write_torchscript(pathlib.Path(sys.argv[1]), {'a.b': torch.zeros(1 << 18)})\n"
        "except FileError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "clip.pt")], capture_output=True, text=True
    )
    assert "clip.pt was not written: File too large" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())
