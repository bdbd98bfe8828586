"""The method seam's own parts: options, compositions, and what a method without a projection is."""

from __future__ import annotations

import copy
from types import MappingProxyType, SimpleNamespace

import pytest
import torch

from rtd_adapters import (
    BackboneShape,
    Composition,
    Method,
    MethodOption,
    Query,
    Reference,
    Tokenizer,
)
from rtd_adapters.errors import TripletError, UsageError
from rtd_adapters.methods.projections import load_projection, tensors_under
from rtd_adapters.methods.query import embed_query, query_ids
from rtd_adapters.methods.stand_ins import CaptionSide

SHAPE = BackboneShape(embed_dim=4, text_width=6, image_width=8)


class Plain(Method):
    name = "plain"
    summary = "nothing"
    reference_url = "https://example.org"
    layout = "openai"
    placeholder = "$"
    composed_prompt = "a photo of $ that {text}"
    bare_prompt = "a photo of $"
    options = MappingProxyType(
        {
            "kind": MethodOption("which kind", default="a", choices=("a", "b")),
            "file": MethodOption("a file of yours"),
        }
    )


def test_options_are_chosen_on_a_copy():
    method = Plain()
    chosen = method.configured({"kind": "b"}).configured({"file": "x"})
    assert (chosen.option("kind"), chosen.option("file")) == ("b", "x")
    assert method.option("kind") == "a"
    assert chosen.configured({"kind": "a"}).option("kind") == "a"
    assert chosen.option("kind") == "b"
    with pytest.raises(
        UsageError, match=r"plain needs --method-option file=VALUE: a file of yours"
    ):
        method.option("file")
    with pytest.raises(UsageError, match=r"plain has no option 'x'; it has: kind, file\."):
        method.configured({"x": "1"})
    with pytest.raises(UsageError, match=r"plain has no kind 'c'; choose one of a, b\."):
        method.configured({"kind": "c"})


def test_a_method_reads_no_states_unless_it_says_so():
    method = Plain()
    assert (method.stand_in, method.needs_states, method.needs_projection) == ("", False, True)
    assert (method.injections, method.checked_with) == (("call",), ())
    for call in (
        lambda: method.build_projection(SHAPE),
        lambda: method.load_projection(None, SHAPE),
    ):
        with pytest.raises(NotImplementedError, match="Plain does not define"):
            call()


def test_a_method_without_a_projection_has_one_that_does_nothing():
    class Free(Plain):
        needs_projection = False

    backbone = SimpleNamespace(name="toy", shape=SHAPE)
    projection, source = load_projection(Free(), backbone, None)
    x = torch.randn(2, 3)
    assert projection(x) is x
    assert source == {}


def test_prompts_of_both_halves():
    method, embedding = Plain(), torch.randn(2, 6)
    reference = Reference(embedding, None, None)
    composed = method.composed(torch.nn.Identity(), reference, ["is red", "is old"])
    (query,) = composed.queries
    assert query.prompts == ["a photo of $ that is red", "a photo of $ that is old"]
    assert torch.equal(query.pseudo_tokens, embedding[:, None])
    (query,) = method.bare(torch.nn.Identity(), reference).queries
    assert query.prompts == ["a photo of $"] * 2
    assert torch.equal(query.pseudo_tokens, embedding[:, None])
    assert len(reference) == 2


def test_weighted_queries_are_sums_of_units():
    mixed = Composition.weighted((0.25, Query(["a"])), (0.75, Query(["b"])), (2.0, Query(["c"])))
    vectors = [torch.randn(1, 5) * size for size in (0.1, 1, 10)]
    weights = (0.25, 0.75, 2.0)
    expected = sum(w * v / v.norm() for w, v in zip(weights, vectors, strict=True))
    torch.testing.assert_close(mixed.combined(vectors), expected)
    alone = Composition.of(["a"])
    assert alone.combined(vectors[:1]) is vectors[0]
    with pytest.raises(ValueError, match="unpack"):
        alone.combined(vectors)


def test_prompts_are_changed_row_by_row():
    whole = Composition.weighted((1.0, Query(["a", "b"])), (1.0, Query(["c", "d"])))
    changed = whole.with_prompts(lambda row, text: f"{row}{text}")
    assert [list(query.prompts) for query in changed.queries] == [["0a", "1b"], ["0c", "1d"]]
    assert changed.combine is whole.combine
    assert list(whole.queries[0].prompts) == ["a", "b"]


def test_eight_keys_of_a_foreign_checkpoint_are_shown(tmp_path):
    keys = {f"k{n}": 1 for n in range(12)}
    with pytest.raises(Exception, match=r"'Phi'; it holds: k0, k1, k10, k11, k2, k3, k4, k5\. "):
        tensors_under(keys, "Phi", tmp_path)
    with pytest.raises(Exception, match="holds a list, not a checkpoint dict"):
        tensors_under([], "Phi", tmp_path)
    assert list(tensors_under({"Phi": {"module.a": torch.ones(1)}}, "Phi", tmp_path)) == ["a"]


def test_patches_spread_over_all_words_of_a_caption(toy_tower):
    """Which token each patch shows, found by its state: evenly from the first word to the last."""
    from rtd_adapters.clip.image_head import ImageHead
    from rtd_adapters.clip.text import Tokenizer

    tokenizer = Tokenizer(32)
    side = CaptionSide(toy_tower, tokenizer, ImageHead(patches=5), lambda vectors: vectors)
    captions = ["one two three four five six seven eight nine", "dog", "one two three"]
    whole = torch.randn(3, 32)
    states = side.token_states(captions, whole)
    assert states.shape == (3, 6, 32)
    assert torch.equal(states[:, 0], whole)
    ids = tokenizer.encode(captions)
    own = toy_tower.project(toy_tower.states(ids))
    # Each patch is a quarter of the way further; halves of a word are rounded to the even one.
    for row, places in enumerate([[1, 3, 5, 7, 9], [1] * 5, [1, 1, 2, 3, 3]]):
        torch.testing.assert_close(states[row, 1:], own[row, places], rtol=1e-4, atol=1e-4)
    same = side.caption_states(captions, whole)
    assert same.shape == (3, 6, 32)
    assert all(torch.equal(same[:, place], whole) for place in range(6))


def test_the_whole_picture_and_its_patches_may_be_lifted_differently(toy_tower):
    from rtd_adapters.clip.image_head import ImageHead

    class Apart(ImageHead):
        def lift_pictures(self, vectors):
            return torch.cat([-vectors[:, :1], 2 * vectors[:, 1:]], dim=1)

    captions, whole = ["one two three", "dog"], torch.randn(2, 32)
    plain, apart = (
        CaptionSide(toy_tower, Tokenizer(32), head, lambda vectors: vectors)
        for head in (ImageHead(patches=3), Apart(patches=3))
    )
    for make in ("token_states", "caption_states"):
        vectors = getattr(plain, make)(captions, whole)
        lifted = getattr(apart, make)(captions, whole)
        assert torch.equal(lifted[:, 0], -vectors[:, 0])
        assert torch.equal(lifted[:, 1:], 2 * vectors[:, 1:])


def test_pseudo_tokens_stand_where_the_placeholder_is_and_nowhere_else(toy_tower):
    """Against the plain tower with the token written into the placeholder's row of its table."""
    tokenizer = Tokenizer(32, "$")
    prompts = ["a photo of $ that is red", "a photo of $"]
    token = torch.randn(64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = embed_query(toy_tower, tokenizer, Query(prompts, token.expand(2, 1, 64)))
        plain = embed_query(toy_tower, tokenizer, Query(["a photo of a dog"]))
        expected_plain = toy_tower(tokenizer.encode(["a photo of a dog"]))
        changed = copy.deepcopy(toy_tower)
        changed.token_embedding.weight[tokenizer.placeholder_id] = token
        expected = changed(tokenizer.encode(prompts))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(plain, expected_plain)


def test_a_placeholder_that_is_cut_off_is_missed_where_a_token_belongs_there_alone():
    tokenizer, prompt = Tokenizer(32, "$"), "word " * 40 + "$"
    plain = query_ids(tokenizer, Query([prompt]))
    assert torch.equal(plain, tokenizer.encode([prompt]))
    with pytest.raises(TripletError):
        query_ids(tokenizer, Query([prompt], torch.ones(1, 1, 64)))
