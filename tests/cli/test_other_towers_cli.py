"""Other towers from the command line, end to end: a patch learned, searched with, dropped into the
model's own library, and refused where it does not belong."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path

import pytest
import tiny_models
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file, save_file

import rtd_adapters
from rtd_adapters import get_method
from rtd_adapters.clip.backbones import backbone_shape, load_backbone
from rtd_adapters.clip.text import find_tower, tower_from_model

BLIND = ("hf-siglip2", "hf-blip2")
pytestmark = pytest.mark.filterwarnings("ignore:A text of")
SEEING = sorted(tiny_models.MODELS.keys() - BLIND)
OTHERS = sorted(tiny_models.MODELS.keys() - {"hf-clip", "open_clip-pe-core", "open_clip-convnext"})
QUICK = ("--max-steps", 2, "--batch-size", 4, "--quiet")
TEXTS = ("a photo of the dog", "two small stars on its dark wall, 5$")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Triplets whose texts hold what a placeholder could be taken for, and a benchmark."""
    root = tmp_path_factory.mktemp("files")
    rows = [
        {
            "reference_caption": f"a dog number {number} costs 5$ or &#36;5",
            "conditioning_caption": "is red, it's big * & <mask> \uff043",
            "target_caption": f"a red dog number {number} </s>",
        }
        for number in range(24)
    ]
    (root / "triplets.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (root / "gallery").mkdir()
    for colour in ("red", "green", "blue", "white"):
        Image.new("RGB", (60, 40), colour).save(root / "gallery" / f"{colour}.png")
    with (root / "queries.csv").open("w", newline="") as table:
        rows = [("red", "is green", "green"), ("blue", "is $ white", "white")]
        written = csv.writer(table)
        written.writerow(["picture", "text", "targets"])
        for picture, text, target in rows:
            written.writerow([f"gallery/{picture}.png", text, f"gallery/{target}.png"])
    return root


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model of the table, written once, and a projection of each method for it."""
    written = {}

    def make(name, method="lincir"):
        if name not in written:
            folder = tmp_path_factory.mktemp(name)
            written[name] = folder, tiny_models.MODELS[name].save(f"cli-{name}", folder)
        folder, saved = written[name]
        projection = folder / f"{method}.pt"
        if not projection.exists():
            with torch.random.fork_rng():
                torch.manual_seed(1)
                phi = get_method(method).build_projection(backbone_shape(saved.backbone))
            torch.save(
                {"Phi": phi.state_dict(), "state_dict_img2text": phi.state_dict()}, projection
            )
        return saved, projection

    return make


@pytest.fixture(scope="session")
def learned(rtd, model, files, tmp_path_factory):
    """A patch of a model, learned in two steps by the command line."""
    made = {}

    def make(name, method="lincir", *more):
        if (name, method) not in made:
            saved, projection = model(name, method)
            out = tmp_path_factory.mktemp("patch") / "w.safetensors"
            run = rtd(
                *("patch", "--method", method, *saved.options, "--projection", projection),
                *("--triplets", files / "triplets.jsonl", "--out", out, *QUICK, *more),
            )
            assert run.returncode == 0, run.stderr
            made[name, method] = out
        return made[name, method]

    return make


# Learned, dropped in, applied


@pytest.mark.parametrize("name", tiny_models.MODELS)
def test_a_patch_drops_into_the_models_own_library(name, learned, model):
    """searle writes OpenAI's names; LinCIR transformers'. Other towers keep their model's own."""
    method = "lincir" if name.startswith("hf") else "searle"
    out, (saved, _) = learned(name, method), model(name, method)
    ids = load_backbone(saved.backbone, saved.pretrained).tower.tokenizer().encode(TEXTS)
    fresh, patched = again(saved), rtd_adapters.TextEncoderPatch.load(out).build_tower()
    with torch.no_grad():
        before = own_units(fresh, ids)
        assert fresh.load_state_dict(load_file(out), strict=False).unexpected_keys == []
        after = own_units(fresh, ids)
        assert (after - before).abs().max() > 1e-4, "it changed nothing"
        torch.testing.assert_close(after, units(patched(ids)), atol=1e-5, rtol=0)


def again(saved):
    """The same model anew, which may be changed."""
    return copy.deepcopy(saved.model)


def units(vectors):
    return torch.nn.functional.normalize(vectors, dim=-1)


def own_units(model, ids):
    """By the model's own code (tests/clip/test_transformers_models.py holds `encode` to that)."""
    return units(find_tower(model).encode(ids))


@pytest.mark.parametrize("name", tiny_models.MODELS)
def test_a_patch_is_applied_and_taken_off_bit_for_bit(name, learned, model):
    out, fresh = learned(name), again(model(name)[0])
    before = {key: tensor.clone() for key, tensor in fresh.state_dict().items()}
    patch = rtd_adapters.apply(fresh, out)
    after = fresh.state_dict()
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert changed
    assert not any(key.startswith(("vision", "visual")) for key in changed)
    written = patch.state_dict(find_tower(fresh).layout)
    assert set(changed) <= set(written)
    assert all(torch.equal(after[key], written[key]) for key in written)
    patch.revert(fresh)
    assert all(torch.equal(before[key], value) for key, value in fresh.state_dict().items())


@pytest.mark.parametrize("method", ["searle", "pic2word"])
@pytest.mark.parametrize("name", ["open_clip-siglip2", "hf-siglip", "hf-blip", "hf-metaclip2"])
def test_every_one_token_method_learns_with_other_towers(name, method, learned):
    assert learned(name, method).stat().st_size > 10_000


@pytest.mark.parametrize("name", ["hf-siglip2", "hf-blip", "hf-blip2"])
def test_low_rank_factors_are_saved_apart(name, rtd, model, files, tmp_path):
    saved, projection = model(name)
    run = rtd(
        *("patch", "-m", "lincir", *saved.options, "--projection", projection, *QUICK, "--json"),
        *("--triplets", files / "triplets.jsonl", "--out", tmp_path / "w.safetensors"),
        *("--kind", "lora", "--adapter-out", tmp_path / "adapter", "--card"),
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    loaded = PeftModel.from_pretrained(again(saved), tmp_path / "adapter").merge_and_unload()
    merged = rtd_adapters.TextEncoderPatch.load(tmp_path / "w.safetensors")
    ids = load_backbone(saved.backbone, saved.pretrained).tower.tokenizer().encode(TEXTS)
    with torch.no_grad():
        torch.testing.assert_close(
            tower_from_model(loaded)(ids), merged.build_tower()(ids), atol=1e-5, rtol=0
        )


# Searched with


@pytest.mark.parametrize("name", SEEING)
def test_a_benchmark_is_searched_with_it(name, rtd, model, learned, files):
    saved, projection = model(name)
    run = rtd(
        *("eval", "-m", "lincir", *saved.options, "--projection", projection, "--quiet"),
        *(
            "--benchmark",
            "custom",
            "--data",
            files,
            "--patch",
            learned(name),
            "--json",
            "--no-cache",
        ),
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["base"].keys() == found["patched"].keys() >= {"recall@1", "recall@5"}
    assert found["base"]["recall@5"] == 100


@pytest.mark.parametrize("name", BLIND)
def test_a_benchmark_needs_pictures(name, rtd, model, files):
    saved, projection = model(name)
    run = rtd(
        *("eval", "-m", "lincir", *saved.options, "--projection", projection),
        *("--benchmark", "custom", "--data", files),
    )
    assert run.returncode == 2
    assert run.stderr.startswith(f"Error: {saved.backbone} has no image tower for rtd: ")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", OTHERS)
def test_inspect_says_what_it_is(name, rtd, learned):
    run = rtd("inspect", learned(name))
    assert run.returncode == 0
    layouts = {"hf-blip": "blip", "hf-blip2": "blip2", "open_clip-siglip2": "open_clip_custom"}
    layouts |= {"open_clip-roberta": "open_clip_roberta", "open_clip-mt5": "open_clip_mt5"}
    layout = layouts.get(name, "openai" if name.startswith("open_clip") else "hf")
    assert f"layout       {layout}\n" in run.stdout


# Refused

TARGETS = ("lincir", "rtd", "searle", "pic2word", "context_i2w", "fti4cir")


def error_of(run, code=1):
    """The one line that was said."""
    assert run.returncode == code, run.stdout + run.stderr
    line = run.stderr.strip().splitlines()
    assert len(line) == 1, run.stderr
    return line[0]


@pytest.mark.parametrize(
    "target", ["lincir", "rtd", "searle", "pic2word", "context_i2w", "fti4cir"]
)
@pytest.mark.parametrize("name", ["open_clip-siglip2", "hf-siglip", "hf-blip", "hf-metaclip2"])
def test_repositories_for_clip_are_not_handed_another_tower(name, target, rtd, learned, tmp_path):
    run = rtd("export", learned(name), "--for", target, "--out", tmp_path / "out")
    said = error_of(run)
    assert f"{target} builds its text tower as CLIP's" in said
    assert "load_state_dict" in said
    assert not (tmp_path / "out").exists()


PAIRS = [("open_clip-siglip2", "hf-siglip"), ("hf-blip", "hf-siglip"), ("hf-metaclip2", "hf-clip")]


@pytest.mark.parametrize(("name", "other"), PAIRS)
def test_a_patch_of_one_family_does_not_go_onto_another(name, other, rtd, learned, model, files):
    saved, projection = model(other)
    run = rtd(
        *("eval", "-m", "lincir", *saved.options, "--projection", projection, "--quiet"),
        *("--benchmark", "custom", "--data", files, "--patch", learned(name), "--no-cache"),
    )
    assert "this patch was trained for" in error_of(run)
    fresh = again(saved)
    with pytest.raises(rtd_adapters.PatchError, match="was trained for"):
        rtd_adapters.apply(fresh, learned(name))
    with pytest.raises(rtd_adapters.PatchError):
        rtd_adapters.apply(fresh, learned(name), force=True)


def test_a_projection_for_another_width_is_refused(rtd, model, files, tmp_path):
    saved, _ = model("hf-blip")
    wide = get_method("lincir").build_projection(rtd_adapters.BackboneShape(32, 48, 0))
    torch.save({"Phi": wide.state_dict()}, tmp_path / "phi.pt")
    run = rtd(
        *("patch", "-m", "lincir", *saved.options, "--projection", tmp_path / "phi.pt"),
        *("--triplets", files / "triplets.jsonl", "--out", tmp_path / "w", "--quiet"),
    )
    assert "phi.pt" in error_of(run)


@pytest.mark.parametrize("name", ["open_clip-metaclip2", "hf-metaclip2"])
def test_a_method_with_a_token_of_its_own_says_so(name, rtd, model, files, tmp_path):
    saved, projection = model(name, "context_i2w")
    run = rtd(
        *("patch", "-m", "context_i2w", *saved.options, "--projection", projection, "--quiet"),
        *("--triplets", files / "triplets.jsonl", "--out", tmp_path / "w"),
    )
    assert "'<|replace|>' takes a row of OpenAI's vocabulary" in error_of(run, 2)


@pytest.mark.parametrize("method", ["context_i2w", "fti4cir"])
@pytest.mark.parametrize("name", ["open_clip-siglip2", "hf-blip"])
def test_a_method_that_reads_states_says_what_it_lacks(name, method, rtd, model, files, tmp_path):
    saved, projection = model(name)
    run = rtd(
        *("patch", "-m", method, *saved.options, "--projection", projection, "--quiet"),
        *("--triplets", files / "triplets.jsonl", "--out", tmp_path / "w"),
    )
    assert f"{method} reads an image tower's states, and this backbone has none" in error_of(run)


@pytest.mark.parametrize("stand_in", ["tokens", "words"])
def test_fti4cir_learns_with_metaclip2(stand_in, rtd, model, files, tmp_path):
    saved, _ = model("hf-metaclip2")
    torch.manual_seed(1)  # how many attributes it finds, and so the prompt's length, is its own
    phi = get_method("fti4cir").build_projection(backbone_shape(saved.backbone))
    save_file(phi.state_dict(), tmp_path / "phi.safetensors")
    run = rtd(
        *("patch", "-m", "fti4cir", *saved.options, "--projection", tmp_path / "phi.safetensors"),
        *("--triplets", files / "triplets.jsonl", "--out", tmp_path / "w.safetensors", *QUICK),
        *("--stand-in", stand_in),
    )
    assert run.returncode == 0, run.stderr


def test_a_tokenizer_that_is_nowhere_is_one_line(rtd, model, files, tmp_path):
    saved, projection = model("open_clip-siglip2")
    weights = tmp_path / "weights.pt"
    weights.write_bytes(Path(saved.pretrained).read_bytes())
    run = rtd(
        *("patch", "-m", "lincir", "--backbone", saved.backbone, "--pretrained", weights),
        *("--projection", projection, "--triplets", files / "triplets.jsonl"),
        *("--out", tmp_path / "w", "--quiet"),
    )
    said = error_of(run)
    assert "The tokenizer nobody/nowhere is not in Hugging Face's cache" in said
    assert "put them beside the weights file" in said


def test_a_prompt_longer_than_the_context_is_quoted(rtd, model, files, tmp_path):
    """The placeholder stands at the end of no built-in prompt: only a query's text can be cut."""
    saved, projection = model("hf-siglip")
    row = {"reference_caption": "a dog", "target_caption": "a red dog"}
    rows = [row | {"conditioning_caption": f"{number} is red and big " * 20} for number in range(8)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.warns(UserWarning, match="was cut to 24"):
        run = rtd(
            *("patch", "-m", "lincir", *saved.options, "--projection", projection, *QUICK),
            *("--triplets", tmp_path / "t.jsonl", "--out", tmp_path / "w.safetensors", "--json"),
        )
    assert run.returncode == 0, run.stderr
    shown = json.loads(rtd("inspect", tmp_path / "w.safetensors", "--json").stdout)
    assert shown["training"]["texts_cut"] > 0
