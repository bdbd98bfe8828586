"""LinCIR's, Pic2Word's and SEARLE's own training beside ours: same batches, weights and noise.

Their loops run as they are: LinCIR's `train_phi`, Pic2Word's `train`, SEARLE's `oti_inversion` and
`train_one_epoch`. What they would load is put in its place: a small CLIP, batches, noise.
"""

from __future__ import annotations

import copy as copying
import sys

import pytest
import torch
from torch import nn

from rtd_adapters import BackboneShape, get_method
from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.text import from_layout, to_layout, tower_from_state_dict
from rtd_adapters.compute.processes import Processes
from rtd_adapters.methods.inversion import Concept
from rtd_adapters.training import RunOptions
from rtd_adapters.training.inversion import (
    CaptionSource,
    InversionSettings,
    InversionTrainer,
    PictureSource,
)
from rtd_adapters.training.inversion.teaching import Teacher, _seed
from rtd_adapters.triplets.spans import SpacySpans

pytestmark = pytest.mark.slow

STEPS, BATCH = 20, 8
SHAPE = BackboneShape(64, 64, 64)
CAPTIONS = [
    "a red dog, and a cat's ball",
    "two women in a long blue dress at night",
    "running slowly",
    "the old-fashioned car was parked beside another car",
    "digital art selected for the #",
    "a man a plan a canal",
    "$5 <PERSON> on the t-shirt",
    '3 cats/dogs & "birds" (white)',
    "an apple a day",
    "Beautiful portrait of a GIRL, highly detailed, 8k, trending on artstation",
    "a dog " + "walks " * 90,
    *(
        f"a {colour} {thing} on the {place}"
        for colour in ("red", "small", "white")
        for thing in ("star", "horse", "boat")
        for place in ("grass", "old table", "left")
    ),
]

START = """
import sys, torch
sys.path[:0] = ["src", "."]
given = torch.load("inputs.pt", weights_only=True)
"""
LOADER = """
import random, spacy
from transformers import CLIPTokenizer
import loader
random.sample = lambda pool, k: pool[:k]
tokenizer = CLIPTokenizer.from_pretrained(given["tokenizer"], pad_token="!",
    model_max_length=77)
tokenizer.add_special_tokens({"additional_special_tokens": ["[$]"]})
data = loader.CaptionDataset(given["captions"], tokenizer, spacy.load(given["spacy"]))
rows = [data[place] for place in range(len(data))]
torch.save([torch.stack([row[side] for row in rows]) for side in (0, 1)], "outputs.pt")
"""
LINCIR = """
from transformers import CLIPTextConfig, CLIPTextModelWithProjection
import train_phi
config = CLIPTextConfig(vocab_size=49408, hidden_size=64, intermediate_size=256, projection_dim=64,
    num_hidden_layers=2, num_attention_heads=1, hidden_act="quick_gelu", eos_token_id=2)
model = CLIPTextModelWithProjection(config).eval()
model.load_state_dict(given["hf"])
# transformers 5 takes the causal mask that LinCIR hands it by another name, and no notice of this
encoder = model.text_model.encoder
run = encoder.forward
def forward(inputs_embeds, attention_mask=None, causal_attention_mask=None, **rest):
    mask = attention_mask if causal_attention_mask is None else causal_attention_mask
    kept = {name: value for name, value in rest.items() if not name.startswith("output_")}
    return run(inputs_embeds=inputs_embeds, attention_mask=mask, **kept)
encoder.forward = forward
kept, losses = [], []
class Phi(train_phi.Phi):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.load_state_dict(given["projection"])
        kept.append(self)
batches = [(o, r, torch.ones(len(o))) for o, r in zip(given["original"], given["masked"])]
noise = iter([part for pair in zip(given["uniform"], given["normal"]) for part in pair])
squared = train_phi.F.mse_loss
def mse_loss(*arguments, **named):
    losses.append(squared(*arguments, **named))
    return losses[-1]
train_phi.F.mse_loss = mse_loss
train_phi.Phi = Phi
train_phi.build_text_encoder = lambda args: (torch.nn.Identity(), None, model, None)
train_phi.build_loader = lambda args, tokenizer, accelerator: batches
train_phi.CIRRDataset = lambda *arguments: None
train_phi.extract_image_features = lambda *arguments: (None, None)
sys.argv = ["train_phi.py", "--cirr_dataset_path", ".", "--batch_size", "8", "--phi_dropout", "0",
    "--max_train_steps", str(len(batches)), "--learning_rate", "1e-3", "--lr_warmup_steps", "0",
    "--lr_scheduler", "constant_with_warmup"]
arguments = train_phi.parse_args()
torch.rand = torch.randn = lambda *shape, **named: next(noise)
try:
    train_phi.train_phi(arguments)
except SystemExit:
    pass
outcome = {"losses": torch.stack(losses).detach(), "projection": kept[0].state_dict()}
torch.save(outcome, "outputs.pt")
"""
PIC2WORD = """
from types import SimpleNamespace
import trainer
from model.model import IM2TEXT, build_model
from third_party.open_clip.scheduler import cosine_lr
model = build_model(given["clip"]).float().eval()
model.encode_image = lambda embedding: embedding
net = IM2TEXT(embed_dim=64, middle_dim=512, output_dim=64, n_layer=2, dropout=0.0).train()
net.load_state_dict(given["projection"])
parts = [[p for n, p in net.named_parameters() if ("bias" in n) == biases] for biases in (1, 0)]
optimizer = torch.optim.AdamW([{"params": parts[0], "weight_decay": 0.0},
    {"params": parts[1], "weight_decay": 0.1}], lr=1e-3, betas=(0.9, 0.98), eps=1e-6)
class Loader(list):
    num_batches, num_samples = len(given["seen"]), 1
data = {"train": SimpleNamespace(dataloader=Loader((s, s) for s in given["seen"]), sampler=None)}
args = SimpleNamespace(gpu=None, distributed=False, dp=False, precision="fp32", rank=0,
    world_size=1, wandb=False, aggregate=True, use_debiased_sampler=False, log_local=False)
losses, compute = [], trainer.get_loss_img2text
def recorded(*arguments):
    losses.append(compute(*arguments))
    return losses[-1]
trainer.get_loss_img2text = recorded
schedule = cosine_lr(optimizer, 1e-3, 5, len(given["seen"]))
trainer.train(model, net, data, 0, optimizer, None, schedule, args)
outcome = {"losses": torch.stack(losses).detach(), "projection": net.state_dict()}
torch.save(outcome | {"clip": model.state_dict()}, "outputs.pt")
"""
SEARLE_TOKENS = """
import csv, pickle
from pathlib import Path
import clip
from clip.model import build_model
import oti_inversion
model = build_model(given["clip"]).float().eval()
model.encode_image = lambda embedding: embedding
clip.load = lambda name, device=None, jit=False: (model, None)
root = Path("own")
folder = root / "data" / "similar_concepts" / "imagenet" / "test"
folder.mkdir(parents=True)
with open(folder / "small_top_250_ensembling_image_texts.csv", "w") as file:
    rows = csv.writer(file)
    rows.writerow(["Image Name", "1"])
    rows.writerows([name, *concepts] for name, concepts in given["concepts"].items())
folder = root / "data" / "GPT_phrases" / "GPTNeo27B"
folder.mkdir(parents=True)
with open(folder / "concept_to_phrases.pkl", "wb") as file:
    pickle.dump(given["phrases"], file)
class Pictures(torch.utils.data.Dataset):
    def __init__(self, *arguments):
        pass
    def __len__(self):
        return len(given["pictures"])
    def __getitem__(self, place):
        return {"image": given["pictures"][place], "image_name": str(place)}
starts = iter(given["starts"])
oti_inversion.nn.init.normal_ = lambda tensor, std: tensor.copy_(next(starts))
oti_inversion.PROJECT_ROOT = root
oti_inversion.ImageNetDataset = Pictures
oti_inversion.get_templates = lambda: ["a photo of {}"]
sys.argv = ["oti_inversion.py", "--exp-name", "own", "--clip-model-name", "small", "--dataset",
    "imagenet", "--dataset-path", ".", "--split", "test", "--batch-size", "4", "--oti-steps",
    str(given["steps"]), "--preprocess-type", "clip"]
oti_inversion.main()
kept = root / "data" / "oti_pseudo_tokens" / "imagenet" / "test" / "own"
tokens = torch.load(kept / "ema_oti_pseudo_tokens.pt", weights_only=True)
torch.save({"tokens": tokens, "clip": model.state_dict()}, "outputs.pt")
"""
SEARLE = """
from contextlib import nullcontext
from pathlib import Path
import pandas
from clip.model import build_model
import train_phi
from phi import Phi
model = build_model(given["clip"]).float().eval()
phi = Phi(64, 256, 64, 0.0)
phi.load_state_dict(given["projection"])
optimizer = torch.optim.AdamW(phi.parameters(), lr=1e-3, weight_decay=0.01)
losses = []
class Recorder:
    def train(self):
        return nullcontext()
    def log_metric(self, name, value, **rest):
        if name == "step_total_loss":
            losses.append(value)
train_phi.experiment = Recorder()
batches = [{"image": given["pictures"][places], "image_name": [str(place) for place in places]}
    for places in given["places"]]
names = [str(place) for place in range(len(given["pictures"]))]
Path("logs").mkdir()
train_phi.train_one_epoch(batches, model, 1, phi, 1, 0.75, given["concepts"], given["phrases"], 1,
    optimizer, torch.cuda.amp.GradScaler(), 0.25, 150, pandas.DataFrame(), Path("logs"), set(),
    names, given["tokens"])
outcome = {"losses": torch.tensor(losses), "projection": phi.state_dict()}
torch.save(outcome | {"clip": model.state_dict()}, "outputs.pt")
"""


def backbone_of(clip):
    """The small CLIP's text tower and scale."""
    tower = tower_from_state_dict(clip, heads=1, activation="quick_gelu").float().eval()
    model = nn.Module()
    model.logit_scale = nn.Parameter(clip["logit_scale"].clone())
    return Backbone("small", None, tower.requires_grad_(False), SHAPE, model, None)


def fresh(method):
    """A projection without dropout."""
    torch.manual_seed(4)
    projection = method.build_projection(SHAPE)
    for module in projection.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return projection


def learned(method, backbone, source, **changes):
    """Ours, of twenty steps with the plugin's published settings but for what is given, and the
    batches it will see."""
    settings = dict(method.projection_training.published)
    settings |= {"steps": STEPS, "batch_size": BATCH, "learning_rate": 1e-3} | changes
    trainer = InversionTrainer(
        method,
        method.projection_training,
        backbone,
        lambda processes, device: source,
        InversionSettings(**settings),
        RunOptions(quiet=True, device="cpu"),
    )
    stream = trainer._stream(source)
    return trainer, [stream.batch(number) for number in range(STEPS)]


def require_same(run, projection, start, theirs):
    losses = torch.tensor(run.record.losses)
    torch.testing.assert_close(losses, theirs["losses"], rtol=1e-5, atol=0)
    for name, tensor in projection.state_dict().items():
        wanted = theirs["projection"][name]
        assert (tensor - wanted).norm() <= 1e-3 * (wanted - start[name]).norm(), name


def test_lincirs_masked_captions_are_theirs(checkout, copy, world, shell):
    import spacy

    from rtd_adapters.triplets.keywords import MODELS

    (installed,) = (model for model in MODELS if spacy.util.is_package(model))
    work = copy(checkout("lincir"))
    given = {"captions": CAPTIONS, "tokenizer": str(world.tokenizer), "spacy": installed}
    torch.save(given, work / "inputs.pt")
    shell(work, "-c", START + LOADER)
    original, masked = torch.load(work / "outputs.pt", weights_only=True)

    method = get_method("lincir")
    tower = tower_from_state_dict(world.clip, heads=1, activation="quick_gelu")
    source = CaptionSource(CAPTIONS, method.tokenizer(tower), SpacySpans())

    class First:
        """Draws as theirs does there."""

        choice = staticmethod(lambda pool: pool[0])

    told = source.described(range(len(CAPTIONS)))
    lessons = [method.projection_training.lesson(method, words, First()) for words in told]
    tokenizer = method.tokenizer(tower)
    assert torch.equal(tokenizer.encode([words.caption for words in told]), original)
    prompts = [lesson.prompt for lesson in lessons]
    ours = tokenizer.encode_prompts(prompts, [prompt.count("$") for prompt in prompts])
    assert torch.equal(ours, masked)
    assert len({prompt.count("$") for prompt in prompts}) > 2


def test_lincirs_loss_and_twenty_steps_are_theirs(checkout, copy, world, shell):
    method, backbone = get_method("lincir"), backbone_of(world.clip)
    tokenizer = method.tokenizer(backbone.tower)
    projection = fresh(method)
    start = {name: tensor.clone() for name, tensor in projection.state_dict().items()}
    source = CaptionSource(CAPTIONS, tokenizer, SpacySpans())
    trainer, batches = learned(method, backbone, source)
    given = {"hf": to_layout(from_layout(world.clip)[1], "hf"), "projection": start}
    given |= {name: [] for name in ("original", "masked", "uniform", "normal")}
    for lessons in batches:
        captions = [words.caption for words in source.described(lessons.places)]
        counts = [prompt.count("$") for prompt in lessons.prompts]
        generator = torch.Generator().manual_seed(lessons.seed)
        given["original"].append(tokenizer.encode(captions))
        given["masked"].append(tokenizer.encode_prompts(lessons.prompts, counts))
        given["uniform"].append(torch.rand(BATCH, 1, generator=generator)[:, 0])
        given["normal"].append(torch.randn(BATCH, 64, generator=generator))
    work = copy(checkout("lincir"))
    torch.save(given, work / "inputs.pt")
    shell(work, "-c", START + LINCIR)
    theirs = torch.load(work / "outputs.pt", weights_only=True)
    require_same(trainer.train(projection, {}), projection, start, theirs)


def test_pic2words_loss_and_twenty_steps_are_theirs(checkout, copy, world, shell):
    method = get_method("pic2word")
    projection = fresh(method)
    start = {name: tensor.clone() for name, tensor in projection.state_dict().items()}
    pictures = torch.randn(50, 64, generator=torch.Generator().manual_seed(9))
    source, schedule = PictureSource(pictures), {"warmup_steps": 5}
    _, batches = learned(method, backbone_of(world.clip), source, **schedule)
    seen = [pictures[lessons.places] for lessons in batches]
    work = copy(checkout("composed_image_retrieval"))
    torch.save({"clip": world.clip, "projection": start, "seen": seen}, work / "inputs.pt")
    shell(work, "-c", START + PIC2WORD, WITHOUT_CUDA="1")
    theirs = torch.load(work / "outputs.pt", weights_only=True)
    # its builder rounds a CLIP's weights to fp16
    trainer, _ = learned(method, backbone_of(theirs["clip"]), source, **schedule)
    require_same(trainer.train(projection, {}), projection, start, theirs)


def few_concepts(count):
    """A concept for each picture, with one phrase, so that nothing is left to chance."""
    names = [f"{colour} {thing}" for colour in ("red", "big", "old") for thing in ("dog", "car")]
    concepts = [Concept(name, [f"this is a {name} in the park"]) for name in names]
    return concepts, torch.arange(count)[:, None] % len(concepts)


def told(concepts, nearest):
    """The same as SEARLE's scripts take it: by picture, and by concept."""
    by_picture = {str(place): [concepts[row[0]].name] for place, row in enumerate(nearest.tolist())}
    return by_picture, {concept.name: list(concept.phrases) for concept in concepts}


def test_searles_optimised_tokens_are_theirs(checkout, copy, world, shell, monkeypatch):
    module = sys.modules[type(get_method("searle").projection_training).__module__]
    monkeypatch.setattr(module, "TEMPLATES", ("a photo of {}",))
    method = get_method("searle")
    pictures = torch.randn(6, 64, generator=torch.Generator().manual_seed(8)) * 3
    concepts, nearest = few_concepts(6)
    teaching = copying.copy(method.projection_training.teaching)
    teaching.steps, teaching.batch_size = STEPS, 4
    starts = [
        teaching.spread * torch.randn(size, 64, generator=torch.Generator().manual_seed(seed))
        for size, seed in ((4, _seed(0, 0)), (2, _seed(0, 1)))
    ]
    by_picture, phrases = told(concepts, nearest)
    work = copy(checkout("SEARLE"))
    given = {"clip": world.clip, "pictures": pictures, "starts": starts, "steps": STEPS}
    torch.save(given | {"concepts": by_picture, "phrases": phrases}, work / "inputs.pt")
    shell(work, "-c", START + SEARLE_TOKENS)
    theirs = torch.load(work / "outputs.pt", weights_only=True)
    backbone = backbone_of(theirs["clip"])
    tokenizer = method.tokenizer(backbone.tower)
    source = PictureSource(pictures, concepts, nearest)
    teacher = Teacher(method, teaching, backbone.tower, tokenizer, source, seed=0)
    ours = teacher.tokens(None, "", Processes(), True)
    start = torch.cat(starts)
    assert (ours - theirs["tokens"]).norm() <= 1e-3 * (theirs["tokens"] - start).norm()


def test_searles_loss_and_twenty_steps_are_theirs(checkout, copy, world, shell):
    method = get_method("searle")
    projection = fresh(method)
    start = {name: tensor.clone() for name, tensor in projection.state_dict().items()}
    generator = torch.Generator().manual_seed(12)
    pictures, tokens = (torch.randn(50, 64, generator=generator) for _ in range(2))
    concepts, nearest = few_concepts(50)
    source = PictureSource(pictures, concepts, nearest, tokens)
    _, batches = learned(method, backbone_of(world.clip), source)
    by_picture, phrases = told(concepts, nearest)
    work = copy(checkout("SEARLE"))
    given = {"clip": world.clip, "projection": start, "tokens": tokens, "pictures": pictures}
    given |= {"places": [lessons.places for lessons in batches]}
    torch.save(given | {"concepts": by_picture, "phrases": phrases}, work / "inputs.pt")
    shell(work, "-c", START + SEARLE)
    theirs = torch.load(work / "outputs.pt", weights_only=True)
    trainer, _ = learned(method, backbone_of(theirs["clip"]), source)
    monkeyed = copying.copy(trainer.training)
    monkeyed.concepts = 0  # the source has concepts and tokens already
    trainer.training = monkeyed
    require_same(trainer.train(projection, {}), projection, start, theirs)
