"""Each repository's own projection and encode function on the same inputs as ours.

The scripts here run in the checkouts. They read `inputs.pt`, write `outputs.pt`, and call nothing
but the repository's public functions and classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keds_folders
import pytest
import torch
import torch.nn.functional as F

from rtd_adapters import BackboneShape, Reference, get_method
from rtd_adapters.clip.text import from_layout, tower_from_state_dict
from rtd_adapters.methods.query import embed_composition

pytestmark = pytest.mark.slow

TEXTS = ["is red and older", "has a blue hat", "shows two of them, at night"]
SHAPE = BackboneShape(64, 64, 64)

START = """
import sys, torch
sys.path[:0] = ["src", "."]
given = torch.load("inputs.pt", weights_only=True)
texts, embedding, states = given["texts"], given["embedding"], given["states"]
torch.manual_seed(3)
def done(model, pseudo, found):
    torch.save({"clip": model.state_dict(), "pseudo": pseudo, "found": found}, "outputs.pt")
"""
SEARLE = """
import clip
from clip.model import build_model
from encode_with_pseudo_tokens import encode_with_pseudo_tokens
from phi import Phi
model = build_model(given["clip"]).float().eval()
phi = Phi(64, 256, 64, 0.5).eval()
torch.save({"epoch": 1, "Phi": phi.state_dict()}, "own.pt")
with torch.no_grad():
    pseudo = phi(embedding)
    ids = clip.tokenize([f"a photo of $ that {text}" for text in texts])
    done(model, pseudo[:, None], encode_with_pseudo_tokens(model, ids, pseudo))
"""
PIC2WORD = """
from model.model import IM2TEXT, build_model
from third_party.open_clip.clip import tokenize
model = build_model(given["clip"]).float().eval()
net = IM2TEXT(embed_dim=64, middle_dim=512, output_dim=64, n_layer=2).eval()
torch.save({"state_dict": {}, "state_dict_img2text": net.state_dict(), "epoch": 1}, "own.pt")
with torch.no_grad():
    pseudo = net(embedding)
    ids = tokenize([f"a photo of * , {text}" for text in texts])
    star = tokenize(["*"])[0][1]
    found = model.encode_text_img_retrieval(ids, pseudo, split_ind=star, repeat=False)
    done(model, pseudo[:, None], found)
"""
LINCIR = """
from transformers import CLIPTextConfig, CLIPTextModelWithProjection
import clip
import encode_with_pseudo_tokens as encoding
from models import Phi
config = CLIPTextConfig(vocab_size=49408, hidden_size=64, intermediate_size=256, projection_dim=64,
    num_hidden_layers=2, num_attention_heads=1, hidden_act="quick_gelu", eos_token_id=2)
model = CLIPTextModelWithProjection(config).eval()
model.load_state_dict(given["hf"])
phi = Phi(64, 256, 64, 0.5).eval()
torch.save({"epoch": 1, "Phi": phi.state_dict()}, "own.pt")
with torch.no_grad():
    pseudo = phi(embedding)
    ids = clip.tokenize([f"a photo of $ that {text}" for text in texts])
    found = encoding.encode_with_pseudo_tokens_HF(model, ids.long(), pseudo)
    done(model, pseudo[:, None], found)
"""
CONTEXT_I2W = """
from model.model import IM2TEXT_OWM_Attn, build_model
from third_party.open_clip.clip import tokenize
model = build_model(given["clip"]).float().eval()
net = IM2TEXT_OWM_Attn(64, 64, embed_dim=64, middle_dim=512, output_dim=64, n_layer=2).eval()
torch.nn.init.constant_(net.local_gate, 0.7)
torch.save({"state_dict": {}, "state_dict_img2text": net.state_dict(), "epoch": 1}, "own.pt")
with torch.no_grad():
    ids = tokenize([f"a photo of <|replace|> , {text}" for text in texts])
    pseudo = net(model.encode_text(ids), states)
    sign = tokenize(["<|replace|>"])[0][1]
    found = model.encode_text_img_retrieval(ids, pseudo, split_ind=sign, repeat=False)
    done(model, pseudo[:, None], found)
"""
FTI4CIR = """
import clip
from clip.model import build_model
from i2t_model import IMG2TEXT, Phi
from utils import token_replace
model = build_model(given["clip"]).float().eval()
phi = lambda: Phi(64, 256, 64, 0.5)
net = IMG2TEXT(64, 64, phi(), phi(), 24, 1.4, 0.2, 3, 1, 12, 0.05).eval()
torch.save(net, "own.pt")
with torch.no_grad():
    local, counts = net.get_img_local_attr_feats(embedding, states)
    subject, attributes = net.phi_s(embedding), net.phi_a(local)
    stars = [" ".join("*" * count) for count in counts]
    prompts = [f"a photo of * with {star} but {text}" for star, text in zip(stars, texts)]
    ids = clip.tokenize(prompts, truncate=True)
    found = token_replace(counts, ids, subject, attributes, model, 0)
    done(model, torch.cat([subject[:, None], attributes], dim=1), found)
"""
KEDS = """
from types import SimpleNamespace
import eval_utils
from model.model import CrossFormer, IM2TEXT, build_model
from third_party.open_clip.clip import tokenize
model = build_model(given["clip"]).float().eval()
banks = [torch.load(f"home/cc_{name}_databases.pt") for name in ("image", "text")]
from faiss import IndexFlatL2
indexes = [IndexFlatL2(768), IndexFlatL2(768)]
for index, bank in zip(indexes, banks):
    index.add(bank.numpy())
crossing = lambda: CrossFormer(q_dim=64, k_dim=64, v_dim=64, num_layers=3)
networks = IM2TEXT(embed_dim=64, middle_dim=512, output_dim=64, n_layer=2), crossing(), crossing()
tokens, found = [], []
model.encode_image = lambda image: image  # what comes here are a picture's embeddings
own = model.encode_text_img_retrieval
def seen(text, img_tokens, **options):
    tokens.append(img_tokens)
    return own(text, img_tokens, **options)
model.encode_text_img_retrieval = seen
eval_utils.get_cirr_testoutput = lambda ref_features, **rest: found.append(ref_features)
ids = tokenize([f"a photo of * , {text}" for text in texts])
query = (embedding, ids, ids, texts, [1, 2, 3], texts)
# A wrapped CLIP and loading as it was saved: what --distributed means, without a GPU.
args = SimpleNamespace(distributed=True, dp=True, gpu=None)
eval_utils.evaluate_cirr_test(torch.nn.DataParallel(model), *networks, [*banks, [], *indexes], args,
    [query], [(embedding, texts)])
done(model, torch.cat(tokens, dim=1), found[-1])
"""


@dataclass
class Case:
    """A checkout, the method that stands for it here, and what runs there."""

    folder: str
    method: str
    script: str
    layout: str = "openai"
    prepare: Callable[[Path, dict], dict[str, Path]] = lambda work, clip: {}
    """Writes what the script reads beside `inputs.pt`; the files of the method's projection."""
    found: Callable[[torch.Tensor], torch.Tensor] = lambda embedding: embedding
    """What of an embedding the script gives."""


def prepare_keds(work, clip):
    """Checkpoints of the epochs that its evaluation of CIRR's test split names."""
    keds_folders.write_common(work)
    module = keds_folders.random_projection()
    return keds_folders.write_files(work, module, clip, epochs=(10, 13))


CASES = [
    Case("SEARLE", "searle", SEARLE),
    Case("composed_image_retrieval", "pic2word", PIC2WORD),
    Case("lincir", "lincir", LINCIR, "hf"),
    Case("context-i2w", "context_i2w", CONTEXT_I2W),
    Case("FTI4CIR", "fti4cir", FTI4CIR),
    Case("RTD", "lincir", LINCIR, "hf"),
    Case("KEDs", "keds", KEDS, prepare=prepare_keds, found=lambda e: F.normalize(e, dim=-1)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.folder)
def test_projection_and_embedding_are_theirs(case, checkout, copy, world, shell):
    work = copy(checkout(case.folder))
    given = inputs(world)
    torch.save(given, work / "inputs.pt")
    files = case.prepare(work, given["clip"])
    shell(work, "-c", START + case.script, WITHOUT_CUDA="1", REPAIRED="1")
    theirs = torch.load(work / "outputs.pt", weights_only=True)

    method = get_method(case.method).configured(keds_folders.options(files))
    tower = tower_from_state_dict(theirs["clip"], heads=1, activation="quick_gelu").float().eval()
    projection = method.load_projection(files.get("image_stream", work / "own.pt"), SHAPE)
    tokenizer = method.tokenizer(tower)
    reference = Reference.of_pictures(given["embedding"], tower, tokenizer, given["states"])
    with torch.no_grad():
        composition = method.composed(projection, reference, TEXTS)
        found = embed_composition(tower, tokenizer, composition)
    tokens = torch.cat([query.pseudo_tokens for query in composition.queries], dim=1)
    assert tokens.shape == theirs["pseudo"].shape
    torch.testing.assert_close(tokens, theirs["pseudo"], rtol=1e-5, atol=1e-5)
    found = case.found(found)
    torch.testing.assert_close(found, theirs["found"].float(), rtol=1e-5, atol=1e-5)


def inputs(world):
    """The small CLIP in both layouts, texts, and random images' embeddings and states."""
    from rtd_adapters.clip.text import to_layout

    generator = torch.Generator().manual_seed(11)
    return {
        "clip": world.clip,
        "hf": to_layout(from_layout(world.clip)[1], "hf"),
        "texts": TEXTS,
        "embedding": torch.randn(len(TEXTS), 64, generator=generator),
        "states": torch.randn(len(TEXTS), 17, 64, generator=generator),
    }
