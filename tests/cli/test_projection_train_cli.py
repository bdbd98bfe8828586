"""`rtd projection train`: in the built-in world, with one's own CLIP, and what bad input gets."""

from __future__ import annotations

import json

import pytest
import torch

from rtd_adapters.methods.installed import get_method


@pytest.fixture
def captions(tmp_path):
    from rtd_adapters.demo.caption_file import training_captions

    path = tmp_path / "captions.txt"
    path.write_text("\n".join(training_captions(300)))
    return path


@pytest.fixture
def pictures(tmp_path):
    from rtd_adapters.demo.pictures import write_pictures

    write_pictures(tmp_path / "pictures", 60)
    return tmp_path / "pictures"


SHORT = ("--max-steps", 4, "--batch-size", 16, "--keywords", "word-list")


def train(rtd, method, *words, **more):
    return rtd("projection", "train", "--method", method, *words, **more)


def test_lincirs_from_captions_for_both_repositories(rtd, captions, tmp_path):
    out = tmp_path / "phi.pt"
    run = train(rtd, "lincir", "--captions", captions, "--out", out, *SHORT, "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["material"]["source"] == "captions.txt" and told["material"]["count"] == 300
    assert told["figures"]["after"].keys() == {
        "inversion_recall@1",
        "inversion_recall@5",
        "inversion_cosine",
    }
    assert told["training"]["batch_size"] == 16 and told["versions"]["torch"]
    checkpoint = torch.load(out, weights_only=True)
    assert checkpoint.keys() == {"epoch", "Phi", "rtd_projection"}
    assert json.loads(checkpoint["rtd_projection"])["base_fingerprint"]["fp32"]
    assert {path.name for path in tmp_path.iterdir()} == {"captions.txt", "phi.pt"}

    found = rtd("doctor", out)
    assert "a projection of lincir: as rtd projection train writes it" in found.stdout
    patch = ("patch", "--method", "lincir", "--projection", out, "--dry-run")
    assert rtd(*patch, "--out", tmp_path / "w.safetensors").returncode == 0


def test_its_figures_and_progress_are_printed(rtd, captions, tmp_path):
    run = train(rtd, "lincir", "--captions", captions, "--out", tmp_path / "phi.pt", *SHORT)
    assert "captions: 300; " in run.stderr and "have keywords (word list" in run.stderr
    assert "training: 4 steps of 16 captions" in run.stderr
    assert "inversion_recall@1" in run.stdout and "cosine" in run.stdout
    assert "phi.pt: projection of lincir for demo, 4 steps on 300 captions" in run.stdout


def test_pic2words_from_pictures_with_the_whole_clip_beside_it(
    rtd, pictures, tmp_path, monkeypatch
):
    from rtd_adapters import load_backbone

    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "pic2word.pt"
    run = train(rtd, "pic2word", "--images", pictures, "--out", out, *SHORT[:4])
    assert run.returncode == 0, run.stderr
    assert "pictures: 60" in run.stderr
    checkpoint = torch.load(out, weights_only=True)
    clip = load_backbone("demo").model.state_dict()
    assert checkpoint["state_dict"].keys() == clip.keys()
    assert all(torch.equal(checkpoint["state_dict"][name], value) for name, value in clip.items())
    shape = load_backbone("demo").shape
    read = get_method("pic2word").load_projection(out, shape).state_dict()
    own = checkpoint["state_dict_img2text"]
    assert all(torch.equal(read[name], value) for name, value in own.items())
    assert "a projection of pic2word" in rtd("doctor", out).stdout


def test_a_file_knows_its_tower_and_keeps_it_when_converted(rtd, captions, tmp_path):
    phi, safe = tmp_path / "phi.pt", tmp_path / "phi.safetensors"
    assert train(rtd, "lincir", "--captions", captions, "--out", phi, *SHORT).returncode == 0
    convert = ("projection", "convert", phi, "--method", "lincir", "--backbone", "demo")
    assert rtd(*convert, "--out", safe).returncode == 0
    for file in (phi, safe):
        patch = ("patch", "--method", "lincir", "--projection", file, "--dry-run")
        refused = rtd(*patch, "--out", tmp_path / "w.safetensors", "--backbone", "demo-gap")
        assert refused.returncode == 1
        assert "was trained against another text tower" in refused.stderr


def test_captions_in_other_forms(rtd, tmp_path):
    import gzip

    rows = tmp_path / "rows.jsonl.gz"
    with gzip.open(rows, "wt") as stream:
        stream.writelines(json.dumps({"said": f"a red dog {n}"}) + "\n" for n in range(60))
    words = ("--captions", rows, "--out", tmp_path / "phi.safetensors", *SHORT, "--json")
    assert "no column caption or" in train(rtd, "lincir", *words).stderr
    run = train(rtd, "lincir", *words, "--column", "said")
    assert json.loads(run.stdout)["material"]["count"] == 60


def test_a_dry_run_writes_nothing(rtd, captions, tmp_path):
    words = ("--captions", captions, "--out", tmp_path / "phi.pt", "--keywords", "word-list")
    run = train(rtd, "lincir", *words, "--batch-size", 16, "--dry-run", "--json")
    plan = json.loads(run.stdout)
    assert plan["captions"] == 300 and plan["seconds"] > 0 and plan["loss"] > 0
    assert "first loss" in train(rtd, "lincir", *words, "--batch-size", 16, "--dry-run").stdout
    assert {path.name for path in tmp_path.iterdir()} == {"captions.txt"}


def test_another_recipe_does_not_go_on_from_a_checkpoint(rtd, captions, tmp_path):
    out, folder = tmp_path / "phi.pt", tmp_path / "run"
    words = ("--captions", captions, "--out", out, *SHORT, "--run-dir", folder)
    assert train(rtd, "lincir", *words, "--checkpoint-every", 1).returncode == 0
    again = train(rtd, "lincir", *words)
    assert again.returncode == 1 and "exists already" in again.stderr
    out.unlink()
    assert "holds a finished run" in train(rtd, "lincir", *words).stderr
    (folder / "finished.json").unlink()
    other = train(rtd, "lincir", *words, "--resume", "--noise-scale", 0.5)
    assert other.returncode == 1 and "0.5 here" in other.stderr
    patch = ("patch", "--method", "lincir", "--out", out, "--run-dir", folder, "--resume")
    other = rtd(*patch, "--max-steps", 4)
    assert other.returncode == 1 and "trains: 'projection' there, None here" in other.stderr
    assert not out.exists()


def broken(folder):
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def text(path, content):
    path.write_text(content)
    return path


BAD = {
    "no caption left": (
        "lincir",
        lambda root: ("--captions", text(root / "c.txt", "$\n$ $\n")),
        1,
        "No caption is left to learn from (2 empty)",
    ),
    "no keyword": (
        "lincir",
        lambda root: ("--captions", text(root / "c.txt", "ein hund\neine katze\n")),
        1,
        "None of the first 2 captions has a keyword",
    ),
    "too few": (
        "lincir",
        lambda root: ("--captions", text(root / "c.txt", "a dog\na cat\n")),
        1,
        "2 captions (0 of them held out) do not fill one batch of 16",
    ),
    "no captions": ("lincir", lambda root: (), 2, "lincir learns from captions: pass --captions"),
    "the other source": (
        "pic2word",
        lambda root: ("--captions", text(root / "c.txt", "a dog\n")),
        2,
        "pic2word learns from pictures: pass --images. Leave --captions out.",
    ),
    "no training": (
        "fti4cir",
        lambda root: ("--captions", text(root / "c.txt", "a dog\n")),
        2,
        "fti4cir does not say how its projection is trained",
    ),
    "no folder": (
        "pic2word",
        lambda root: ("--images", root / "none"),
        1,
        "is no folder",
    ),
    "no pictures": (
        "pic2word",
        lambda root: ("--images", root),
        1,
        "holds no pictures (.bmp",
    ),
    "a broken picture": (
        "pic2word",
        lambda root: ("--images", broken(root / "p"), "--batch-size", 1),
        1,
        "broken.png cannot be read as a picture",
    ),
    "broken pictures alone": (
        "pic2word",
        lambda root: ("--images", broken(root / "p"), "--skip-broken"),
        1,
        "is left to learn from: 1 cannot be read",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_clear_message_and_nothing_is_written(rtd, name, tmp_path, monkeypatch):
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))
    method, make, code, message = BAD[name]
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    words = SHORT if method == "lincir" else SHORT[:4]
    run = train(rtd, method, "--out", out / "phi.pt", *words, *make(root))
    assert run.returncode == code
    lines = [line for line in run.stderr.splitlines() if line.startswith(("Error", "Usage"))]
    assert len(lines) == 1 and message in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(out.iterdir())


def test_ones_own_clip_with_text_and_image_tower(rtd, miniature_clip, pictures, captions, tmp_path):
    own = ("--backbone", miniature_clip["backbone"], "--pretrained", miniature_clip["pretrained"])
    for method, words in (
        ("lincir", ("--captions", captions, *SHORT)),
        ("pic2word", ("--images", pictures, *SHORT[:4])),
    ):
        out = tmp_path / f"{method}.pt"
        run = train(rtd, method, *words, *own, "--out", out)
        assert run.returncode == 0, run.stderr
