"""Context-I2W and FTI4CIR: what they make of states, texts and their repositories' files."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from rtd_plugins.context_i2w import ContextI2W
from rtd_plugins.fti4cir import Fti4cir
from rtd_plugins.fti4cir.inversion import FineGrainedInversion
from rtd_plugins.keds import Keds
from torch import nn

from rtd_adapters import BackboneShape, Reference, get_method
from rtd_adapters.clip.image_head import ImageHead
from rtd_adapters.errors import BackboneError, FileError, UsageError
from rtd_adapters.methods.query import embed_query
from rtd_adapters.training import FastEngine, ReferenceEngine, Towers, TrainingSettings
from rtd_adapters.training.batches import TripletStream
from rtd_adapters.training.step import refined_reference

SHAPE = BackboneShape(embed_dim=32, text_width=64, image_width=48)
VARIANTS = [
    ContextI2W(),
    ContextI2W().configured({"stand_in": "caption"}),
    Fti4cir(),
    Fti4cir().configured({"stand_in": "words"}),
    Keds(),
]


def head(patches=6):
    torch.manual_seed(4)
    norm = nn.LayerNorm(48).requires_grad_(False)
    return ImageHead(norm, torch.randn(48, 32) * 0.2, scale=1.3, patches=patches)


@pytest.fixture
def towers(toy_backbone):
    """Makes the towers of a run with a method."""
    import copy

    def make(method):
        torch.manual_seed(5)
        projection = method.build_projection(SHAPE).eval().requires_grad_(False)
        if hasattr(projection, "local_gate"):
            nn.init.constant_(projection.local_gate, 0.8)
        student = copy.deepcopy(toy_backbone.tower).requires_grad_(True)
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.02)
        tokenizer = method.tokenizer(toy_backbone.tower)
        return Towers(method, projection, toy_backbone.tower, student, tokenizer, head())

    return make


def gradients(engine, towers, settings, batch):
    towers.student.zero_grad()
    loss = engine(towers, settings).step(batch, lambda value: value.backward())
    return loss.item(), {n: p.grad.clone() for n, p in towers.student.named_parameters()}


@pytest.mark.parametrize("method", VARIANTS, ids=lambda m: f"{m.name}-{m.stand_in}")
@pytest.mark.parametrize("chunk_size", [None, 3])
def test_the_fast_step_equals_the_reference_step(method, chunk_size, towers, toy_triplets):
    parts = towers(method)
    batch = TripletStream(toy_triplets, parts.tokenizer, batch_size=7, seed=0).batch(0)
    settings = TrainingSettings(noise_scale=0.5)
    loss, reference = gradients(ReferenceEngine, parts, settings, batch)
    found, fast = gradients(FastEngine, parts, replace(settings, chunk_size=chunk_size), batch)
    assert found == pytest.approx(loss, rel=1e-5)
    whole = sum(grad.square().sum() for grad in reference.values()).sqrt()
    for name, grad in reference.items():
        scale = whole if name.endswith("k_proj.bias") else grad.norm()
        # Lifting solves a linear system, which amplifies the rounding of packed embeddings.
        assert (fast[name] - grad).norm() <= 1e-4 * scale, name


def reference_of(parts, triplets, noise_scale=0.5, count=5):
    batch = TripletStream(triplets, parts.tokenizer, batch_size=count, seed=0).batch(0)
    ids = parts.tokenizer.encode(batch.references)
    return batch, refined_reference(parts, batch, parts.frozen(ids), noise_scale)


def along(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


def test_stand_in_states_without_noise_are_the_captions_lifted_tokens(towers, toy_triplets):
    parts = towers(ContextI2W())
    batch, reference = reference_of(parts, toy_triplets, noise_scale=0.0)
    states = reference.states
    assert states.shape == (5, 7, 48)
    lift = parts.image_head.lift
    assert along(states[:, 0], lift(reference.embedding)).min() > 0.9999
    ids = parts.tokenizer.encode(batch.references)
    for row, end in enumerate(ids.argmax(dim=1).tolist()):
        # The last patch stands for the last word: the tower reads it in a caption cut behind it.
        joint = parts.frozen.states(ids[row : row + 1])[0, end - 1] @ parts.frozen.text_projection
        assert along(states[row, -1], lift(joint)) > 0.9999


def test_stand_in_states_have_noise_of_their_own(towers, toy_triplets):
    parts = towers(ContextI2W())
    plain = reference_of(parts, toy_triplets, noise_scale=0.0)[1].states
    noisy = reference_of(parts, toy_triplets)[1].states
    for place in range(7):  # the caption as the whole picture, then its tokens as patches
        assert (noisy[:, place] - plain[:, place]).norm(dim=-1).max() > 0.1
    moved = parts.image_head(noisy) - parts.image_head(plain)
    assert along(moved[:, 0], moved[:, -1]).abs().max() < 0.9
    assert torch.equal(noisy, reference_of(parts, toy_triplets)[1].states)


def test_the_context_comes_from_the_tower_in_use(towers, toy_triplets):
    parts = towers(ContextI2W())
    batch, reference = reference_of(parts, toy_triplets)
    own = tokens_of(parts.method.composed(parts.projection, reference, batch.conditioning))
    other = replace(reference, tower=parts.frozen)
    frozen = tokens_of(parts.method.composed(parts.projection, other, batch.conditioning))
    assert not torch.allclose(own, frozen)
    assert not own.requires_grad


def tokens_of(composition):
    (query,) = composition.queries
    return query.pseudo_tokens


def pictures(parts, count=4):
    torch.manual_seed(6)
    embedding, states = torch.randn(count, 32), torch.randn(count, 7, 48)
    return Reference.of_pictures(embedding, parts.student, parts.tokenizer, states)


def test_context_prompts_depend_on_the_text_and_bare_ones_show_it(towers):
    parts = towers(ContextI2W())
    texts = ["is red", "is red", "is blue", "was a dog"]
    method, projection = parts.method, parts.projection
    composed = method.composed(projection, pictures(parts), texts)
    bare = method.bare(projection, pictures(parts), texts)
    assert composed.queries[0].prompts[0] == "a photo of <|replace|> , is red"
    assert set(bare.queries[0].prompts) == {"a photo of <|replace|>"}
    assert torch.equal(tokens_of(composed), tokens_of(bare))
    other = method.composed(projection, pictures(parts), ["is old"] * 4)
    assert not torch.allclose(tokens_of(composed), tokens_of(other))
    alone = method.bare(projection, pictures(parts))
    assert not torch.allclose(tokens_of(bare), tokens_of(alone))


def test_attributes_vary_in_number_and_all_reach_the_tower(towers):
    parts = towers(Fti4cir())
    parts.projection.selection[1] = 0.045
    reference = pictures(parts, 12)
    (query,) = parts.method.composed(parts.projection, reference, ["is red"] * 12).queries
    counts = [prompt.count("*") - 1 for prompt in query.prompts]
    assert len(set(counts)) > 1
    assert query.prompts[0] == f"a photo of * with {' '.join('*' * counts[0])} but is red"
    with torch.no_grad():
        found = embed_query(parts.student, parts.tokenizer, query)
        changed = query.pseudo_tokens.clone()
        changed[0, counts[0]] += 1.0  # the last one that counts
        moved = embed_query(parts.student, parts.tokenizer, replace(query, pseudo_tokens=changed))
        changed[:, 1 + max(counts) :] += 1.0  # those that do not
        still = embed_query(parts.student, parts.tokenizer, replace(query, pseudo_tokens=changed))
    assert not torch.allclose(found[0], moved[0])
    assert torch.equal(moved, still)


def test_selection_against_a_plain_loop():
    torch.manual_seed(7)
    module = FineGrainedInversion(32, 64, 48).eval()
    embedding, local = torch.randn(9, 32) * 2, torch.rand(9, 24, 32)
    chosen, counts = module.select(embedding, local)
    for row in range(9):
        share = torch.softmax(local[row] @ embedding[row], dim=0).tolist()
        order = sorted(range(24), key=lambda place: -share[place])[:12]
        count = min(max(sum(value > 0.05 for value in share), 1), 12)
        assert counts[row] == count
        wanted = [*sorted(order[:count]), *order[count:]]
        expected = torch.nn.functional.normalize(local[row, wanted], dim=-1)
        torch.testing.assert_close(chosen[row], expected)


def test_a_share_that_is_the_threshold_does_not_exceed_it():
    module = FineGrainedInversion(32, 64, 48).eval()
    local = torch.ones(1, 4, 32)
    for threshold, count in ((0.25, 1), (0.24, 4)):  # each of four has a quarter
        module.selection[1] = threshold
        assert module.select(torch.ones(1, 32), local)[1] == [count]


def test_pictures_without_states_are_refused(towers):
    for method in (ContextI2W(), Fti4cir()):
        parts = towers(method)
        without = replace(pictures(parts), make_states=None)
        with pytest.raises(UsageError, match="states"):
            method.composed(parts.projection, without, ["is red"] * 4)


# FTI4CIR's checkpoint: a module pickled whole


@pytest.fixture
def foreign(monkeypatch):
    """Modules of the names that FTI4CIR's classes have, with classes of ours in them."""
    for name in ("i2t_model", "MHTransformer"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))

    def pose(module, name, base):
        made = vars(sys.modules[module])
        return made.setdefault(name, type(name, (base,), {"__module__": module}))

    return pose


def pickled(foreign, path, **values):
    """Our module under their names, saved as their train.py saves it."""
    torch.manual_seed(8)
    ours = FineGrainedInversion(32, 64, 48, templates=5)
    whole = foreign("i2t_model", "IMG2TEXT", FineGrainedInversion)
    theirs = whole(32, 64, 48, templates=5)
    theirs.load_state_dict(ours.state_dict())
    del theirs._buffers["selection"]
    for part, module, name in (
        (theirs.phi_s, "i2t_model", "Phi"),
        (theirs.phi_a, "i2t_model", "Phi"),
        (theirs.transformer, "MHTransformer", "Transformer"),
    ):
        part.__class__ = foreign(module, name, type(part))
    for block in theirs.transformer.layers:
        block.__class__ = foreign("MHTransformer", "TransformerLayer", type(block))
        block.attn.__class__ = foreign("MHTransformer", "MultiHeadAttention", type(block.attn))
        block.mlp.__class__ = foreign("MHTransformer", "MlpTransformer", type(block.mlp))
        block.mlp.act = torch.nn.functional.relu
    vars(theirs).update({"topk": 12, "epsilon": 0.05, "num_k": 5, **values})
    torch.save(theirs, path)
    return ours


def test_a_pickled_module_is_read_without_its_code(foreign, tmp_path, monkeypatch):
    ours = pickled(foreign, tmp_path / "model.pth", topk=7, epsilon=0.02)
    for name in ("i2t_model", "MHTransformer"):
        monkeypatch.delitem(sys.modules, name)
    read = get_method("fti4cir").load_projection(tmp_path / "model.pth", SHAPE)
    assert read.selection.tolist() == pytest.approx([7, 0.02])
    for name, tensor in ours.state_dict().items():
        if name != "selection":
            assert torch.equal(read.state_dict()[name], tensor)
    assert "i2t_model" not in sys.modules


class Hostile:
    def __reduce__(self):
        return (print, ("this ran",))


def test_a_pickle_that_would_run_code_is_refused(foreign, tmp_path, capsys):
    path = tmp_path / "model.pth"
    pickled(foreign, path, surprise=Hostile())
    with pytest.raises(FileError, match="could run code"):
        get_method("fti4cir").load_projection(path, SHAPE)
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(FileError):
        get_method("fti4cir").load_projection(path, SHAPE)
    assert "this ran" not in capsys.readouterr().out


def test_a_checkpoint_that_is_no_module(tmp_path):
    torch.save({"Phi": {}}, tmp_path / "phi.pt")
    with pytest.raises(BackboneError, match=r"holds a dict, not a pickled i2t_model\.IMG2TEXT"):
        get_method("fti4cir").load_projection(tmp_path / "phi.pt", SHAPE)


def test_a_pickled_module_that_is_another(foreign, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "linear.pth")
    with pytest.raises(BackboneError, match="without numbers topk and epsilon"):
        get_method("fti4cir").load_projection(tmp_path / "linear.pth", SHAPE)
    pickled(foreign, tmp_path / "text.pth", topk="12")
    with pytest.raises(BackboneError, match="without numbers topk, so"):
        get_method("fti4cir").load_projection(tmp_path / "text.pth", SHAPE)


def test_a_truncated_module(foreign, tmp_path):
    path = tmp_path / "model.pth"
    pickled(foreign, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileError, match="truncated or damaged"):
        get_method("fti4cir").load_projection(path, SHAPE)


@pytest.mark.parametrize("name", ["context_i2w", "fti4cir"])
def test_a_converted_checkpoint_gives_the_same_projection(name, foreign, tmp_path):
    from rtd_adapters.methods.projections import convert_projection

    method, path = get_method(name), tmp_path / "own.pt"
    if name == "fti4cir":
        pickled(foreign, path)
    else:
        from rtd_plugins.context_i2w.rotator import ContextRotator

        tensors = ContextRotator(32, 64, 48, heads=3).state_dict()
        torch.save({"state_dict_img2text": {f"module.{k}": v for k, v in tensors.items()}}, path)
    convert_projection(method, path, SHAPE, "toy", tmp_path / "own.safetensors")
    first = method.load_projection(path, SHAPE).state_dict()
    again = method.load_projection(tmp_path / "own.safetensors", SHAPE).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_a_checkpoint_of_another_method_names_it(tmp_path):
    from rtd_adapters.hooks.registry import registry
    from rtd_adapters.methods.projections import open_projection

    tensors = get_method("pic2word").build_projection(SHAPE).state_dict()
    torch.save({"state_dict_img2text": tensors}, tmp_path / "own.pt")
    with pytest.raises(BackboneError, match="is a checkpoint of pic2word, not of context_i2w"):
        open_projection(
            get_method("context_i2w"), tmp_path / "own.pt", SHAPE, registry().methods.values()
        )
