"""Our figures against those of the benchmark authors' own scripts, on the same pictures."""

from __future__ import annotations

import json
import re

import keds_folders
import pytest
import torch
import torch.nn.functional as F

from rtd_adapters import BackboneShape, get_method
from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.image_head import image_head
from rtd_adapters.clip.text import tower_from_state_dict
from rtd_adapters.evaluation.benchmark import load_benchmark
from rtd_adapters.evaluation.evaluate import compare, submit
from rtd_adapters.evaluation.features import Pictures
from rtd_adapters.evaluation.inputs import EvalOptions, Evaluation
from rtd_adapters.evaluation.queries import QueryEmbedder
from rtd_adapters.export.torchscript import write_torchscript

pytestmark = pytest.mark.slow
SHAPE = BackboneShape(64, 64, 64)


@pytest.fixture(scope="session")
def rounded(world):
    """The small CLIP as OpenAI's loader holds it."""
    kept = ("ln_", "token_embedding", "positional_embedding", "class_embedding", "logit_scale")
    return {
        name: tensor if any(word in name for word in kept) else tensor.half().float()
        for name, tensor in world.clip.items()
    }


@pytest.fixture(scope="session")
def backbone(rounded):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    from open_clip.transform import image_transform

    vision = CLIPVisionCfg(layers=2, width=64, head_width=64, patch_size=16, image_size=64)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=2)
    model = CLIP(64, vision, text, quick_gelu=True)
    model.load_state_dict(rounded)
    model.eval().requires_grad_(False)
    tower = tower_from_state_dict(rounded, heads=1, activation="quick_gelu")
    transform = image_transform(64, is_train=False)
    return Backbone("small", None, tower, SHAPE, model, transform, image_head(model))


def projection_of(method):
    torch.manual_seed(1)
    return get_method(method).build_projection(SHAPE).eval().requires_grad_(False)


def evaluation(method, name, root, backbone, split="val"):
    benchmark = load_benchmark(name, root, split)
    options = EvalOptions(cache=False, quiet=True)
    return Evaluation(get_method(method), projection_of(method), benchmark, backbone, options)


SEARLE_NAMES = {
    "cirr": {"cirr_recall_at": "recall@", "cirr_group_recall_at": "subset_recall@"},
    "circo": {"circo_map_at": "map@", "circo_recall_at": "recall@"},
    "fashioniq": {
        f"{part}_fiq_recall_at": f"{part} recall@"
        for part in ("dress", "shirt", "toptee", "average")
    },
}


@pytest.mark.parametrize("name", SEARLE_NAMES)
def test_searles_own_evaluation(
    name, benchmark_folder, rounded, backbone, checkout, copy, world, shell
):
    work, root = copy(checkout("SEARLE")), benchmark_folder(name)
    folder = work / "data/phi_models/small"
    (folder / "checkpoints").mkdir(parents=True)
    write_torchscript(folder / "clip.pt", rounded)
    state = projection_of("searle").state_dict()
    torch.save({"epoch": 1, "Phi": state}, folder / "checkpoints/phi.pt")
    settings = {"clip_model_name": str(folder / "clip.pt"), "phi_dropout": 0.5}
    (folder / "hyperparameters.json").write_text(json.dumps(settings))
    done = shell(
        work,
        *("src/validate.py", "--eval-type", "phi", "--exp-name", "small"),
        *("--phi-checkpoint-name", "phi.pt", "--dataset", name, "--dataset-path", root),
        *("--preprocess-type", "clip"),
    )
    theirs = {k: float(v) for k, v in re.findall(r"^(\w+) = ([\d.]+)$", done.stdout, re.MULTILINE)}
    ours = compare(evaluation("searle", name, root, backbone), None).base
    compared = 0
    for key, value in theirs.items():
        for prefix, own in SEARLE_NAMES[name].items():
            if re.fullmatch(rf"{prefix}\d+", key):
                assert ours[own + key.removeprefix(prefix)] == pytest.approx(value, abs=0.006), key
                compared += 1
    assert compared == len(ours)


PIC2WORD = """
import sys, json, torch
sys.path[:0] = ["src", "."]
from eval_utils import get_metrics_coco, get_metrics_imgnet
given = torch.load("inputs.pt", weights_only=True)
one = torch.ones(())
coco = get_metrics_coco(given["gallery"], given["coco"], one)
imagenet = [
    get_metrics_imgnet(queries, given["targets"], given["asked"] + 1000 * domain, given["labels"])
    for domain, queries in enumerate(given["domains"])
]
plain = lambda found: {name: float(value) for name, value in found.items()}
print("FOUND", json.dumps({"coco": plain(coco), "imagenet": [plain(f) for f in imagenet]}))
"""


def features(run, method, part):
    """Unit embeddings of a part's queries and gallery, as our own search makes them."""
    pictures = Pictures(run.backbone, run.benchmark, "clip", 64, None, quiet=True)
    images = pictures.states([query.reference for query in part.queries])
    embedder = QueryEmbedder(run.method, run.projection)
    queries = embedder.embed(run.backbone.tower, part.queries, images.embedding, images.tokens)
    return queries, F.normalize(pictures.embeddings(part.gallery)[:], dim=-1)


def test_keds_own_evaluation(benchmark_folder, rounded, backbone, checkout, copy, world, shell):
    """The figures of its mixture, which are those that it reports."""
    work, root = copy(checkout("KEDs")), benchmark_folder("cirr")
    folders = {name: root / "cirr" / name for name in ("captions", "image_splits")}
    command, files = keds_folders.prepare(work, folders | {"dev": root / "dev"}, rounded)
    done = shell(work, *command, WITHOUT_CUDA="1")
    logged = re.findall(r"Eval mixture Feature(.*)", done.stdout + done.stderr)
    theirs = dict(re.findall(r"recall_R@(\d+): ([\d.]+)", logged[-1]))
    method = get_method("keds").configured(keds_folders.options(files))
    projection = method.load_projection(files["image_stream"], SHAPE)
    benchmark = load_benchmark("cirr", root, "val")
    options = EvalOptions(cache=False, quiet=True)
    ours = compare(Evaluation(method, projection, benchmark, backbone, options), None).base
    for count in (1, 5, 10, 50):
        assert ours[f"recall@{count}"] == pytest.approx(float(theirs[str(count)]), abs=1e-4)


def test_pic2words_own_metrics(benchmark_folder, backbone, checkout, copy, shell):
    work = copy(checkout("composed_image_retrieval"))
    coco = evaluation(
        "pic2word", "coco-composition", benchmark_folder("coco-composition"), backbone
    )
    root = benchmark_folder("imagenet-r")
    domains = evaluation("pic2word", "imagenet-r", root, backbone)
    asked, gallery = features(coco, "pic2word", coco.benchmark.parts[0])
    found = [features(domains, "pic2word", part) for part in domains.benchmark.parts]

    def labels(name):
        lines = (root / "imgnet" / name).read_text().split("\n")
        return torch.tensor([int(line.split(" ")[1]) for line in lines if line])

    inputs = {
        "coco": asked,
        "gallery": gallery,
        "domains": [queries for queries, _ in found],
        "targets": found[0][1],
        "asked": labels("imgnet_real_query.txt"),
        "labels": labels("imgnet_targets.txt"),
    }
    torch.save(inputs, work / "inputs.pt")
    printed = shell(work, "-c", PIC2WORD).stdout
    theirs = json.loads(printed.split("FOUND", 1)[1])
    ours = compare(coco, None).base
    for k in (1, 5, 10, 50, 100):
        assert ours[f"recall@{k}"] == pytest.approx(100 * theirs["coco"][f"ref_to_image_R@{k}"])
    ours = compare(domains, None).base
    for part, figures in zip(domains.benchmark.parts, theirs["imagenet"], strict=True):
        for k in (1, 5, 10, 50, 100, 200):
            recall, precision = ours[f"{part.name} recall@{k}"], ours[f"{part.name} precision@{k}"]
            assert recall == pytest.approx(100 * figures[f"Real2Sketch_R@{k}"], abs=2e-3)
            if k <= 60:  # beyond the gallery they divide by its size
                assert precision == pytest.approx(100 * figures[f"Real2Sketch_P@{k}"], abs=2e-3)


GENECIS = """
import sys, types, json, torch
sys.path[:0] = ["."]
given = torch.load("inputs.pt", weights_only=True)
own = types.ModuleType("datasets")  # their folder, not the library of that name
own.__path__ = ["datasets"]
sys.modules["datasets"] = own
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import image_transform
from datasets.vaw_dataset import VAWValSubset
from datasets.coco_dataset import COCOValSubset
from eval.eval_functions import validate
vision = CLIPVisionCfg(layers=2, width=64, head_width=64, patch_size=16, image_size=64)
text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=2)
model = CLIP(64, vision, text, quick_gelu=True).eval()
model.load_state_dict(given["clip"])
transform, tokens = image_transform(64, is_train=False), lambda text: torch.zeros(1, 77).long()
root, task = sys.argv[1:]
path = f"{root}/genecis/{task}.json"
if task.endswith("object"):
    data = COCOValSubset(path, tokens, transform=transform, root_dir=f"{root}/coco/val2017")
else:
    data = VAWValSubset(path, tokens, transform=transform, image_dir=f"{root}/vg")
loader = torch.utils.data.DataLoader(data, batch_size=8)
class Composed(torch.nn.Module):
    row = 0
    def forward(self, references, captions):
        self.row += len(references)
        return given["queries"][self.row - len(references) : self.row]
meters = validate(model, Composed(), loader, topk=(1, 2, 3))
print("FOUND", json.dumps({k: float(meter.avg) for k, meter in meters.items()}))
"""


@pytest.mark.parametrize("task", ["focus_attribute", "change_object"])
def test_genecis_own_evaluation(task, benchmark_folder, rounded, backbone, checkout, copy, shell):
    work = copy(checkout("genecis"))
    name = f"genecis-{task.replace('_', '-')}"
    root = benchmark_folder(name)
    run = evaluation("searle", name, root, backbone)
    queries, _ = features(run, "searle", run.benchmark.parts[0])
    torch.save({"clip": rounded, "queries": queries}, work / "inputs.pt")
    (work / "own.py").write_text(GENECIS)
    printed = shell(work, "own.py", root, task, WITHOUT_CUDA="1").stdout
    theirs = json.loads(printed.split("FOUND", 1)[1])
    ours = compare(run, None).base
    assert len(ours) == 3
    for k, value in theirs.items():
        assert ours[f"recall@{k}"] == pytest.approx(100 * value, abs=1e-4)


def test_a_submission_to_circo_has_its_form(benchmark_folder, backbone, tmp_path):
    """Every query once, 50 different pictures each."""
    root = benchmark_folder("circo")
    run = evaluation("searle", "circo", root, backbone, split="test")
    (file,) = submit(run, None, tmp_path)
    content = json.loads(file.read_text())
    assert sorted(map(int, content)) == list(range(30))
    assert all(len(set(ids)) == 50 for ids in content.values())
