"""Composed queries: batch by batch, text by text, and with bare prompts of their own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from rtd_adapters.errors import EvaluationError, FileError
from rtd_adapters.evaluation.benchmark import EvalQuery, Part, _require_whole
from rtd_adapters.evaluation.queries import QueryEmbedder, embed_composed, embed_plain


@pytest.fixture
def asked(searle, toy_projection, toy_tower):
    """Embeds queries of the toy tower, each with its own reference."""
    torch.manual_seed(3)
    references = torch.randn(70, 32)

    def embed(queries, method=searle):
        embedder = QueryEmbedder(method, toy_projection, "bench")
        return embedder.embed(toy_tower, queries, references[: len(queries)])

    return embed


def query(*texts, bare=None):
    return EvalQuery("q", "r", texts, ("t",), bare=bare)


def test_several_texts_are_asked_apart_and_their_unit_embeddings_averaged(asked):
    found = asked([query("is red", "is old"), query("is blue", "is new")])
    first = asked([query("is red"), query("is blue")])
    second = asked([query("is old"), query("is new")])
    torch.testing.assert_close(first.norm(dim=1), torch.ones(2))
    for row in (0, 1):
        mean = (first[row] + second[row]) / 2
        torch.testing.assert_close(found[row], mean / mean.norm())


def test_queries_have_as_many_texts_as_one_another(asked):
    with pytest.raises(ValueError, match="zip"):
        asked([query("is red", "is old"), query("is blue")])


def test_queries_with_and_without_a_bare_prompt_are_not_asked_together(asked):
    bare, plain = query("toy", bare=("a toy of", "")), query("is red")
    for mixed in ([bare, plain], [plain, bare]):
        with pytest.raises(EvaluationError, match="bench asks some queries with a bare prompt"):
            asked(mixed)


def test_the_first_opening_is_changed_and_the_ending_appended(asked, searle, monkeypatch):
    method = searle.configured({})
    method.bare_prompt = "a photo of $, as in a photo of it"
    seen = []

    def embedded(tower, tokenizer, composition):
        seen.extend(composition.queries[0].prompts)
        return torch.ones(len(seen), 4)

    monkeypatch.setattr("rtd_adapters.evaluation.queries.embed_composition", embedded)
    asked([query("toy", bare=("a toy of", "")), query("bus", bare=("a bus of", "!"))], method)
    assert seen == ["a toy of $, as in a photo of it", "a bus of $, as in a photo of it!"]


@pytest.mark.parametrize(("chosen", "sizes"), [({}, [64, 6]), ({"batch_size": 30}, [30, 30, 10])])
def test_sixty_four_at_a_time_by_default(
    chosen, sizes, searle, toy_projection, toy_tower, asked, monkeypatch
):
    torch.manual_seed(3)
    references, seen = torch.randn(70, 32), []

    def looked_up(backbone, pictures, preprocess):
        seen.append(len(pictures))
        return references[pictures]

    monkeypatch.setattr("rtd_adapters.evaluation.queries.picture_embeddings", looked_up)
    texts = [f"is number {row}" for row in range(70)]
    backbone = SimpleNamespace(tower=toy_tower)
    found = embed_composed(searle, toy_projection, backbone, list(range(70)), texts, **chosen)
    assert seen == sizes
    torch.testing.assert_close(found, asked([query(text) for text in texts]))
    assert F.cosine_similarity(found[0], found[69], dim=0) < 0.999


def test_plain_captions_are_embedded_word_for_word(searle, toy_tower):
    """No prompt, no pseudo token, and no cleaning: a price keeps its sign, which is SEARLE's."""
    captions = ["a hat for $5", "Two dogs, asleep."]
    plain = [EvalQuery(text, "", (text,), ("t",)) for text in captions]
    found = embed_plain(toy_tower, searle.tokenizer(toy_tower), plain)
    with torch.no_grad():
        wanted = toy_tower(searle.tokenizer(toy_tower).encode(captions))
    torch.testing.assert_close(found, F.normalize(wanted, dim=-1))


def test_plain_captions_and_composed_queries_are_two_parts():
    mixed = Part(
        "", ("t",), (EvalQuery("p", "r", ("x",), ("t",)), EvalQuery("q", "", ("x",), ("t",)))
    )
    with pytest.raises(FileError, match="bench mixes plain captions with composed queries"):
        _require_whole(mixed, "bench")
