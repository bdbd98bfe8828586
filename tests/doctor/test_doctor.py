"""`rtd doctor` knows the repositories, their checkpoints, and the traps that apply here."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from rtd_adapters import BackboneShape, get_method
from rtd_adapters.clip import releases
from rtd_adapters.doctor import checkouts, examine
from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.methods.projections import convert_projection

SHAPE = BackboneShape(16, 24, 32)
FILES = {
    "searle": {
        "src/phi.py": "class Phi",
        "src/oti_inversion.py": "import clip",
        "src/validate.py": "clip.load(name)",
        "src/generate_test_submission.py": "clip.load(name)",
    },
    "pic2word": {
        "src/eval_retrieval.py": "load(args.model); IM2TEXT; resume",
        "model/model.py": "class IM2TEXT(nn.Module)",
    },
    "context_i2w": {
        "src/eval_retrieval.py": "load(args.model); IM2TEXT_OWM_Attn; resume",
        "model/model.py": "class IM2TEXT: pass; class IM2TEXT_OWM_Attn: pass",
    },
    "keds": {
        "src/eval_retrieval.py": "load(args.model); IM2TEXT; retrieval_fuse; resume",
        "src/model/model.py": "class IM2TEXT: pass; class CrossFormer: pass",
    },
    "fti4cir": {
        "src/i2t_model.py": "class IMG2TEXT",
        "src/MHTransformer.py": "class Transformer",
        "src/evaluate.py": "clip.load(name)",
    },
    "lincir": {
        "train_phi.py": "import torch",
        "encode_with_pseudo_tokens.py": "def encode_with_pseudo_tokens_HF",
        "models.py": "from_pretrained(name)",
    },
}


def checkout(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("method", FILES)
def test_checkouts_are_told_apart(method, tmp_path):
    finding = examine(checkout(tmp_path, FILES[method]))
    assert finding.method == method
    assert get_method(method).layout == finding.layout
    assert any(command.startswith("rtd run") for command in finding.commands)
    assert any(command.startswith("rtd export") for command in finding.commands)
    assert not [trap for trap in finding.traps if "does not call" in trap]


def test_a_loading_point_that_is_gone_is_named(tmp_path):
    files = FILES["searle"] | {"src/validate.py": "load_clip()"}
    (trap,) = [t for t in examine(checkout(tmp_path, files)).traps if "does not call" in t]
    assert trap.startswith("src/validate.py does not call clip.load(")


def pretend(monkeypatch, installed):
    """Every package is of this version."""
    for module in (checkouts, releases):
        monkeypatch.setattr(module, "version", lambda package: installed)


@pytest.mark.parametrize(
    ("installed", "words"),
    [("4.53.3", None), ("4.57.6", "fails"), ("5.23.0", "wrong numbers")],
)
def test_transformers_is_judged_by_its_version(installed, words, tmp_path, monkeypatch):
    pretend(monkeypatch, installed)
    traps = examine(checkout(tmp_path, FILES["lincir"])).traps
    said = [trap for trap in traps if "encode_with_pseudo_tokens_HF" in trap]
    assert [words in trap for trap in said] == ([True] if words else [])


def test_torch_is_judged_by_its_version(tmp_path, monkeypatch):
    folder = checkout(tmp_path, FILES["fti4cir"])
    for installed, warned in (("2.5.1", False), ("2.14.1+cu130", True)):
        pretend(monkeypatch, installed)
        assert any("refuses its checkpoint" in trap for trap in examine(folder).traps) is warned


@pytest.fixture
def saved(tmp_path):
    """Writes an object as a checkpoint and examines it."""

    def save(thing, name="own.pt"):
        torch.save(thing, tmp_path / name)
        return examine(tmp_path / name)

    return save


def weights(method):
    return get_method(method).build_projection(SHAPE).state_dict()


def test_projections_are_told_apart(saved):
    assert saved({"epoch": 1, "Phi": weights("searle")}).method == "searle"
    own = saved({"state_dict": {"a": torch.ones(1)}, "state_dict_img2text": weights("pic2word")})
    assert own.method == "pic2word"
    assert "with the whole CLIP" in own.what
    own = saved({"state_dict_img2text": weights("context_i2w")})
    assert own.method == "context_i2w"
    assert "without the CLIP" in own.what
    mapping = {"state_dict": {"a": torch.ones(1)}, "state_dict_img2text": weights("pic2word")}
    own = saved(mapping | {"state_dict_retrieval_fuse": {}, "state_dict_text_condition": {}})
    assert (own.method, len(own.traps)) == ("keds", 1)
    assert "one stream, with the whole CLIP" in own.what
    for command in own.commands:
        assert "--method-option text_stream=... --method-option image_bank=..." in command
    official = saved({"epoch": 1, "CLIPTextModelWithProjection": {}})
    assert "official RTD" in official.what


def test_a_bank_is_recognised(saved):
    bank = saved(torch.ones(20, 16), "cc_image_databases.pt")
    assert bank.method == "keds"
    assert "one tensor [20, 16]" in bank.what
    with pytest.raises(UsageError, match="nothing rtd knows"):
        saved(torch.ones(20))


def test_a_pickled_module_is_recognised_and_not_run(saved, monkeypatch, tmp_path):
    module = ModuleType("i2t_model")
    module.IMG2TEXT = type("IMG2TEXT", (torch.nn.Linear,), {"__module__": "i2t_model"})
    monkeypatch.setitem(sys.modules, "i2t_model", module)
    torch.save(module.IMG2TEXT(2, 2), tmp_path / "model.pth")
    monkeypatch.delitem(sys.modules, "i2t_model")
    assert examine(tmp_path / "model.pth").method == "fti4cir"
    assert "i2t_model" not in sys.modules


@pytest.mark.parametrize(
    ("key", "layout"),
    [
        ("token_embedding.weight", "openai"),
        ("module.token_embedding.weight", "openai"),
        ("text.token_embedding.weight", "open_clip_custom"),
        ("text_model.embeddings.token_embedding.weight", "hf"),
        ("embeddings.token_embedding.weight", "hf"),
    ],
)
def test_clips_show_their_layout(saved, key, layout):
    assert saved({key: torch.ones(1)}).layout == layout


def test_our_own_files(tmp_path):
    torch.save({"Phi": weights("searle")}, tmp_path / "own.pt")
    out = tmp_path / "own.safetensors"
    convert_projection(get_method("searle"), tmp_path / "own.pt", SHAPE, "toy", out)
    finding = examine(out)
    assert finding.method == "searle"
    assert "rtd projection train and convert write it" in finding.what


def test_a_torchscript_archive(tmp_path):
    from rtd_adapters.export.torchscript import write_torchscript

    write_torchscript(tmp_path / "clip.pt", {"a.b": torch.ones(1)})
    assert "TorchScript" in examine(tmp_path / "clip.pt").what


class Hostile:
    def __reduce__(self):
        return (print, ("this ran",))


def test_what_it_cannot_say(tmp_path, saved, capsys):
    with pytest.raises(UsageError, match="none of the checkouts"):
        examine(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        examine(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"nothing rtd knows \(optimizer\)"):
        saved({"optimizer": 1})
    (tmp_path / "bad.pt").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(FileError):
        examine(tmp_path / "bad.pt")
    torch.save({"Phi": torch.ones(9)}, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:200])
    with pytest.raises(FileError, match="truncated"):
        examine(tmp_path / "cut.pt")
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "method"),
    [
        ("SEARLE", "searle"),
        ("composed_image_retrieval", "pic2word"),
        ("context-i2w", "context_i2w"),
        ("FTI4CIR", "fti4cir"),
        ("KEDs", "keds"),
        ("lincir", "lincir"),
        ("RTD", "lincir"),
    ],
)
def test_real_checkouts(folder, method):
    root = os.environ.get("RTD_UPSTREAMS")
    if not root or not (Path(root) / folder).is_dir():
        pytest.skip(f"RTD_UPSTREAMS holds no checkout {folder}")
    finding = examine(Path(root) / folder)
    assert finding.method == method
    assert not [trap for trap in finding.traps if "does not call" in trap]
    assert json.dumps(finding.commands)


def test_the_command_prints_a_finding(tmp_path, capsys):
    from rtd_adapters.cli import main

    folder = str(checkout(tmp_path, FILES["searle"]))
    for arguments in (["doctor", folder], ["doctor", folder, "--json"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
    lines, _, as_json = capsys.readouterr().out.partition("{")
    assert lines.startswith(f"{folder}: a checkout of https://github.com/miccunifi/SEARLE\n")
    assert "  method  searle\n  layout  openai\n  type    rtd run" in lines
    finding = json.loads("{" + as_json)
    assert (finding["path"], finding["method"], finding["layout"]) == (folder, "searle", "openai")
    assert finding["what"] in lines
