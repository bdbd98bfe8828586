"""The conformance kit passes methods that keep the seam's promises, and no others."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from rtd_adapters import (
    Composition,
    Method,
    MethodOption,
    ProjectionTraining,
    Query,
    Tokenizer,
    fill_projection,
    get_method,
    read_checkpoint,
    tensors_under,
)
from rtd_adapters.methods.skeleton import write_skeleton
from rtd_adapters.testing import CHECKS, check_imports, check_method, compositions
from rtd_adapters.testing.check import (
    activation_is_known,
    captions_compose_as_pictures,
    composed_prompt_takes_the_text,
    gradient_reaches_the_tower_alone,
    injections_are_known,
    layout_is_known,
    layout_keeps_every_bit,
    name_is_a_lower_case_identifier,
    placeholder_is_found_in_both_prompts,
    placeholder_is_one_token,
    pooling_reads_past_the_placeholder,
    projection_fits_its_backbone,
    queries_have_a_row_for_each_reference,
    rows_are_independent,
    teaching_moves_the_tokens,
    texts_are_set,
    trained_projection_is_read_again,
    training_is_declared_whole,
    training_reaches_the_projection_alone,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_plugin"
ALL = [check.__name__ for check in CHECKS]
BUILT_IN = [
    ("context_i2w", {}),
    ("context_i2w", {"stand_in": "caption"}),
    ("context_i2w", {"stand_in": "reuse"}),
    ("fti4cir", {}),
    ("fti4cir", {"stand_in": "words"}),
    ("fti4cir", {"stand_in": "reuse"}),
    ("keds", {}),
    ("keds", {"stand_in": "captions"}),
    ("keds", {"stand_in": "reuse"}),
    ("lincir", {}),
    ("pic2word", {}),
    ("searle", {}),
]


@pytest.mark.parametrize(("name", "chosen"), BUILT_IN)
def test_the_built_in_methods_keep_every_promise(name, chosen):
    assert check_method(get_method(name).configured(chosen)) == ALL


def test_every_option_of_the_built_in_methods_is_among_them():
    for name in {name for name, _ in BUILT_IN}:
        for option, meaning in get_method(name).options.items():
            for value in meaning.choices:
                assert value == meaning.default or (name, {option: value}) in BUILT_IN


@pytest.mark.parametrize("name", ["one_token", "training_free", "two_queries"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_each_check_alone_passes_the_example_methods(check, name, example):
    check(example(name))


def test_a_fresh_skeleton_keeps_every_promise(tmp_path, monkeypatch):
    write_skeleton("fresh", tmp_path / "new")
    monkeypatch.syspath_prepend(tmp_path / "new")
    assert check_method(importlib.import_module("rtd_fresh").Fresh()) == ALL
    check_imports("rtd_fresh")


def test_the_example_plugin_keeps_every_promise(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)
    assert check_method(importlib.import_module("rtd_linear").Linear()) == ALL
    check_imports("rtd_linear")


@pytest.mark.parametrize("name", sorted({name for name, _ in BUILT_IN}))
def test_the_built_in_plugins_are_light_to_import(name):
    check_imports(f"rtd_plugins.{name}")


# Broken methods: the changes that break one, and what is said of it.


def plain(self, projection, reference, texts):
    return Composition.of([f"a photo that {text}" for text in texts])


def without_axis(self, projection, embedding):
    return projection(embedding)


def reads_states(self, projection, reference, texts):
    prompts = [self.composed_prompt.format(text=text) for text in texts]
    tokens = self.pseudo_tokens(projection, reference.embedding)
    return Composition.of(prompts, tokens + reference.states.mean())


def one_bare_prompt(self, projection, reference, texts=None):
    tokens = self.pseudo_tokens(projection, reference.embedding)
    return Composition.of([self.bare_prompt], tokens[:1])


def bare_with_texts_only(self, projection, reference, texts=None):
    tokens = self.pseudo_tokens(projection, reference.embedding)
    return Composition.of([self.bare_prompt for _ in texts], tokens)


def bare_without_texts_only(self, projection, reference):
    tokens = self.pseudo_tokens(projection, reference.embedding)
    return Composition.of([self.bare_prompt] * len(reference), tokens)


def mixed_to_numbers(self, projection, reference, texts):
    prompts = [self.composed_prompt.format(text=text) for text in texts]
    tokens = self.pseudo_tokens(projection, reference.embedding)
    return Composition((Query(prompts, tokens),), lambda embeddings: embeddings[0].sum(dim=-1))


def a_list(self, projection, reference, texts):
    return [self.composed_prompt.format(text=text) for text in texts]


def other_words_for_captions(self, projection, reference, texts=None):
    prompt = "a photo of $" if reference.captions is None else "a $ photo"
    tokens = self.pseudo_tokens(projection, reference.embedding)
    return Composition.of([prompt] * len(reference), tokens)


def captions_alone(self, projection, reference, texts):
    endings = reference.captions or texts
    tokens = self.pseudo_tokens(projection, reference.embedding)
    return Composition.of([f"a photo of $ that {ending}" for ending in endings], tokens)


def centred(self, projection, embedding):
    return projection(embedding - embedding.mean(dim=0)).unsqueeze(1)


def drawn(self, projection, embedding):
    return projection(embedding + 0.01 * torch.randn_like(embedding)).unsqueeze(1)


def context_with_gradient(self, projection, reference, texts):
    prompts = [self.composed_prompt.format(text=text) for text in texts]
    context = reference.tower(reference.tokenizer.encode(prompts))
    return Composition.of(prompts, self.pseudo_tokens(projection, context))


def detached(self, projection, reference, texts):
    prompts = [self.composed_prompt.format(text=text) for text in texts]
    tokens = self.pseudo_tokens(projection, reference.embedding)
    return Composition((Query(prompts, tokens),), lambda embeddings: embeddings[0].detach())


def learnt_weight(self, projection, reference, texts):
    prompts = [self.composed_prompt.format(text=text) for text in texts]
    tokens = self.pseudo_tokens(projection, reference.embedding)
    weight = projection.requires_grad_(True).bias.sum()
    return Composition((Query(prompts, tokens),), lambda embeddings: weight * embeddings[0])


def other_placeholder(self, context_length):
    return Tokenizer(context_length, placeholder="*")


class Idle(type(get_method("searle").projection_training.teaching)):
    """Teaches nothing to all pictures but the first."""

    weight_decay = 0.0

    def loss(self, embedded, targets):
        return embedded[0][0].sum()


class Learning(ProjectionTraining):
    """A training with one thing changed."""

    def __init__(
        self,
        learns_from,
        published=(),
        loss=lambda made: made.embedded.square().mean(),
        teaching=None,
    ):
        self.learns_from, self.published, self._loss = learns_from, dict(published), loss
        self.teaching = teaching

    def loss(self, made, batch):
        return self._loss(made)


def read_flat(self, path, shape):
    """A projection from its tensors alone, which is how one is written by default."""
    tensors = tensors_under(read_checkpoint(path), "projection", path)
    return fill_projection(self.build_projection(shape), tensors, path)


@pytest.mark.parametrize("learns_from", ["captions", "pictures"])
def test_a_method_that_says_how_it_is_trained_keeps_every_promise(learns_from, example):
    method = example(
        "one_token",
        projection_training=Learning(learns_from, {"steps": 9}),
        load_projection=read_flat,
    )
    assert check_method(method) == ALL


BROKEN = [
    (name_is_a_lower_case_identifier, {"name": "My-Method"}, "^method 'My-Method': its name is"),
    (name_is_a_lower_case_identifier, {"name": None}, "^method 'Changed': its name is None"),
    (texts_are_set, {"summary": " "}, "its summary is ' '"),
    (texts_are_set, {"reference_url": "a\nb"}, r"its reference_url is 'a\\nb'"),
    (layout_is_known, {"layout": "timm"}, "its layout is 'timm'. Use one of openai"),
    (layout_keeps_every_bit, {"layout": "timm"}, "in layout 'timm' failed with BackboneError"),
    (
        activation_is_known,
        {"activation": "relu"},
        "its activation is 'relu'. Use one of quick_gelu",
    ),
    (injections_are_known, {"injections": ("call", "hand")}, r"\('call', 'hand'\). Give a tuple"),
    (injections_are_known, {"injections": ()}, r"its injections are \(\)"),
    (composed_prompt_takes_the_text, {"composed_prompt": "a $ that"}, "has no place for a text"),
    (
        composed_prompt_takes_the_text,
        {"composed_prompt": "a $ {caption}"},
        r"has {caption}\. It must have {text}",
    ),
    (
        composed_prompt_takes_the_text,
        {"composed_prompt": "$ {text} {text!r:>9}"},
        "{text} and {text!r:>9}",
    ),
    (composed_prompt_takes_the_text, {"composed_prompt": "a { $ {text}"}, "failed with ValueError"),
    (composed_prompt_takes_the_text, {"bare_prompt": "a $ {text}"}, "must have no {text}"),
    (placeholder_is_one_token, {"placeholder": "two words"}, "'two words' is 2 tokens"),
    (placeholder_is_one_token, {"tokenizer": other_placeholder}, r"'\$' and its tokenizer's '\*'"),
    (
        pooling_reads_past_the_placeholder,
        {"placeholder": "<end_of_text>"},
        "id 49407 is not below",
    ),
    (
        placeholder_is_found_in_both_prompts,
        {"composed_prompt": "a photo that {text}"},
        r"'a photo that is red' has no placeholder '\$'",
    ),
    (
        placeholder_is_found_in_both_prompts,
        {"bare_prompt": "a photo"},
        "'a photo' has no placeholder",
    ),
    (
        placeholder_is_found_in_both_prompts,
        {"composed_prompt": "a photo of $, {text}"},
        "failed with TripletError.*Let each placeholder be a word by itself",
    ),
    (
        projection_fits_its_backbone,
        {"build_projection": lambda self, shape: nn.Linear(shape.embed_dim, 64)},
        r"text_width=48.*tokens are \[4, 1, 64\]. They must be \[4, K, 48\]",
    ),
    (projection_fits_its_backbone, {"pseudo_tokens": without_axis}, r"pseudo tokens are \[4, 64\]"),
    (projection_fits_its_backbone, {"composed": plain}, "none of its composed queries has pseudo"),
    (
        projection_fits_its_backbone,
        {"build_projection": lambda self, shape: None},
        "build_projection.* failed with AttributeError",
    ),
    (projection_fits_its_backbone, {"composed": a_list}, r"composed\(\) returns a list"),
    (
        projection_fits_its_backbone,
        {"composed": reads_states},
        r"composed\(\) of pictures failed with UsageError.*needs_states = True",
    ),
    (
        queries_have_a_row_for_each_reference,
        {"composed": reads_states, "needs_states": True},
        r"composed\(\) of captions failed with UsageError.*option stand_in",
    ),
    (
        queries_have_a_row_for_each_reference,
        {"bare": one_bare_prompt},
        "a query has 1 prompts for 4 references",
    ),
    (
        queries_have_a_row_for_each_reference,
        {"bare": bare_with_texts_only},
        r"bare\(\) of pictures failed with TypeError: 'NoneType'",
    ),
    (
        queries_have_a_row_for_each_reference,
        {"bare": bare_without_texts_only},
        r"bare\(\) of pictures failed with TypeError: .*3 positional arguments but 4",
    ),
    (
        queries_have_a_row_for_each_reference,
        {"composed": mixed_to_numbers},
        r"embed as \[4\], not as \[4, 32\]",
    ),
    (
        queries_have_a_row_for_each_reference,
        {
            "composed": plain,
            "needs_projection": False,
            "build_projection": lambda *_: nn.Identity(),
        },
        r"bare\(\) of pictures failed with NotImplementedError.*must define both composed and bare",
    ),
    (
        captions_compose_as_pictures,
        {"composed": captions_alone},
        "its composed queries of captions and of pictures differ",
    ),
    (
        captions_compose_as_pictures,
        {"bare": other_words_for_captions},
        "its bare queries of captions and of pictures differ",
    ),
    (rows_are_independent, {"pseudo_tokens": centred}, "query 0 of a batch of 4 differs"),
    (rows_are_independent, {"pseudo_tokens": drawn}, "nothing at random"),
    (
        gradient_reaches_the_tower_alone,
        {"composed": context_with_gradient},
        r"pseudo tokens carry a gradient.*torch.no_grad\(\)",
    ),
    (
        gradient_reaches_the_tower_alone,
        {"composed": detached},
        "no gradient of its composed queries reaches block 0 and 1",
    ),
    (
        gradient_reaches_the_tower_alone,
        {"composed": learnt_weight},
        "flows into the projection. Leave the projection frozen",
    ),
    (
        training_is_declared_whole,
        {"projection_training": Learning("sounds")},
        "learns from 'sounds'. Use one of captions, pictures",
    ),
    (
        training_is_declared_whole,
        {"projection_training": Learning("pictures", {"rate": 1})},
        "reading `published` failed with TypeError.*fields of InversionSettings",
    ),
    (
        training_reaches_the_projection_alone,
        {"projection_training": Learning("pictures", loss=lambda made: made.embedded)},
        "a step of its projection's training failed",
    ),
    (
        training_reaches_the_projection_alone,
        {"projection_training": Learning("captions", loss=lambda made: made.tokens.sum() / 0)},
        "the loss of its projection is",
    ),
    (
        training_reaches_the_projection_alone,
        {"projection_training": Learning("captions", loss=lambda made: 0 * made.tokens.sum())},
        "gives no gradient to weight, bias",
    ),
    (
        teaching_moves_the_tokens,
        {"projection_training": Learning("pictures", teaching=Idle())},
        "leaves a picture's token as it was",
    ),
    (
        trained_projection_is_read_again,
        {
            "projection_training": Learning("captions"),
            "load_projection": read_flat,
            "projection_checkpoint": lambda self, tensors, clip: {"mine": dict(tensors)},
        },
        "writing its projection and reading it again failed",
    ),
    (
        trained_projection_is_read_again,
        {
            "projection_training": Learning("captions"),
            "load_projection": read_flat,
            "projection_checkpoint": lambda self, tensors, clip: {
                name: 2 * tensor for name, tensor in tensors.items()
            },
        },
        "written and read again, has other tensors",
    ),
]


@pytest.mark.parametrize(("check", "changes", "words"), BROKEN)
def test_a_broken_method_is_caught(check, changes, words, example):
    method = example("one_token", **changes)
    with pytest.raises(AssertionError, match=words):
        check(method)
    with pytest.raises(AssertionError, match=r"^method '"):
        check_method(method)


def test_every_check_has_a_broken_method_that_it_catches():
    assert {check for check, _, _ in BROKEN} == set(CHECKS)


def test_the_docs_list_every_check():
    page = (EXAMPLE.parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| .* \|$", page, flags=re.MULTILINE)[-len(ALL) :] == ALL


@pytest.mark.parametrize("layout", ["openai", "open_clip_custom", "hf"])
def test_a_layout_that_rounds_is_caught(layout, example, monkeypatch):
    method, exact = example("one_token", layout=layout), compositions.to_layout
    layout_keeps_every_bit(method)

    def rounded(state, layout):
        return {name: tensor.half().float() for name, tensor in exact(state, layout).items()}

    monkeypatch.setattr(compositions, "to_layout", rounded)
    with pytest.raises(AssertionError, match=f"is read again as '{layout}', and changed"):
        layout_keeps_every_bit(method)


def test_a_stand_in_of_choice_may_differ_from_pictures(example):
    option = MethodOption("what stands in", default="tokens", choices=("tokens", "words"))
    changes = {"composed": captions_alone, "options": {"stand_in": option}}
    method = example("one_token", **changes)
    with pytest.raises(AssertionError, match="differ"):
        captions_compose_as_pictures(method)
    captions_compose_as_pictures(method.configured({"stand_in": "words"}))


def test_a_method_whose_default_is_reuse_is_held_to_its_promises_by_tokens(example):
    option = MethodOption("what stands in", default="reuse", choices=("tokens", "reuse"))
    changes = {"composed": captions_alone, "options": {"stand_in": option}}
    with pytest.raises(AssertionError, match="differ"):
        captions_compose_as_pictures(example("one_token", **changes))


def test_a_method_that_defines_no_projection(example):
    method = example("one_token", build_projection=Method.build_projection)
    with pytest.raises(AssertionError, match=r"NotImplementedError.*needs_projection = False"):
        check_method(method)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import torch", "'heavy_plugin' imports torch. Import those inside"),
        ("import open_clip", "imports torch, open_clip"),
        ("import nowhere_at_all", "cannot be imported.*No module named 'nowhere_at_all'"),
    ],
)
def test_heavy_modules_are_caught(source, words, tmp_path, monkeypatch):
    (tmp_path / "heavy_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AssertionError, match=words):
        check_imports("heavy_plugin")
