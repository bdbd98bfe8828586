"""What an index answers, beside evaluation's own embeddings and plain numpy."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from rtd_adapters import TextEncoderPatch, embed_composed, get_method, load_projection
from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.errors import BackboneError, FileError, PatchError, UsageError
from rtd_adapters.evaluation.inputs import patched_tower
from rtd_adapters.evaluation.pictures import embed_pictures
from rtd_adapters.jobs.search import SearchInputs, load_searcher
from rtd_adapters.search.columns import BASE_COLUMN, different, patched_column, rival_columns
from rtd_adapters.search.index import UnknownEntryError
from rtd_adapters.search.questions import Question, Searcher

TEXT = "is blue and striped"
COLUMNS = (BASE_COLUMN, patched_column(0.5), patched_column(), *rival_columns(["sum", "slerp"]))


@pytest.fixture(scope="module")
def gallery(searcher):
    """Ids and unit embeddings of all pictures."""
    ids = [entry.id for entry in searcher.index.page(0, 1000)]
    rows = searcher.index.embeddings(ids)
    return ids, rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(gallery, vector, k, without=""):
    """(id, cosine) of a plain search."""
    ids, rows = gallery
    scores = rows @ (vector / np.linalg.norm(vector))
    order = [place for place in np.argsort(-scores) if ids[place] != without][:k]
    return [(ids[place], scores[place]) for place in order]


def assert_same(hits, expected):
    assert [hit.id for hit in hits] == [identity for identity, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [s for _, s in expected], atol=1e-5)


def unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.fixture(scope="module")
def picture(folder):
    return Image.open(folder / "00003.png").convert("RGB")


@pytest.fixture(scope="module")
def sides(picture, backbone, patch_file):
    """The query of each column, as evaluation embeds it."""
    method = get_method("searle")
    projection = load_projection(method, backbone, None)[0]
    patch = TextEncoderPatch.load(patch_file)

    def composed(strength):
        tower = patched_tower(backbone, patch, strength)
        return embed_composed(method, projection, backbone, [picture], [TEXT], tower=tower)

    shown = unit(embed_pictures(backbone, [picture]).numpy()[0])
    text = unit(backbone.embed_captions([TEXT]).numpy()[0])
    angle = np.arccos(shown @ text)
    return {
        "base": composed(0).numpy()[0],
        "strength 0.5": composed(0.5).numpy()[0],
        "patched": composed(1).numpy()[0],
        "sum": shown + text,
        "slerp": np.sin(0.2 * angle) * shown + np.sin(0.8 * angle) * text,
        "picture": shown,
        "text": text,
    }


def test_each_column_is_its_own_query(searcher, gallery, picture, sides):
    answer = searcher.ask(Question(TEXT, picture, k=60, columns=COLUMNS))
    assert answer.kind == "composed"
    assert answer.prompt == f"a photo of $ that {TEXT}"
    assert [found.column.name for found in answer.found] == [*sides][:5]
    for found in answer.found:
        assert_same(found.hits, nearest(gallery, sides[found.column.name], 60))
    orders = {tuple(hit.id for hit in found.hits) for found in answer.found}
    assert len(orders) == 5


def test_plain_texts_go_through_the_base_tower(searcher, gallery, sides):
    answer = searcher.ask(Question(TEXT, k=7, columns=COLUMNS))
    (found,) = answer.found
    assert (answer.kind, answer.prompt, found.column.name) == ("text", TEXT, "text")
    assert_same(found.hits, nearest(gallery, sides["text"], 7))


def test_plain_pictures_go_through_the_image_tower(searcher, gallery, picture, sides):
    answer = searcher.ask(Question(picture=picture, k=7, columns=COLUMNS))
    (found,) = answer.found
    assert (answer.kind, answer.prompt, found.column.name) == ("picture", "", "picture")
    assert_same(found.hits, nearest(gallery, sides["picture"], 7))
    assert found.hits[0].id == "00003.png"


def test_an_entry_is_its_picture_and_not_among_its_own_results(searcher, gallery, sides):
    answer = searcher.ask(Question(TEXT, entry="00003.png", k=60, columns=COLUMNS))
    for found in answer.found:
        expected = nearest(gallery, sides[found.column.name], 60, without="00003.png")
        assert len(expected) == 59
        assert_same(found.hits, expected)


def test_an_entry_is_not_looked_at_again(searcher, monkeypatch):
    monkeypatch.setattr(searcher.index, "open_picture", lambda id_: pytest.fail(id_))
    searcher.ask(Question(TEXT, entry="00003.png", columns=COLUMNS))


def test_a_method_that_reads_states_looks_at_the_picture_again(place, picture, monkeypatch):
    inputs = SearchInputs(str(place), method="fti4cir", device="cpu")
    searcher = load_searcher(inputs)
    by_entry = searcher.ask(Question(TEXT, entry="00003.png", k=5))
    by_picture = searcher.ask(Question(TEXT, picture, k=6))
    shown = [hit for hit in by_picture.found[0].hits if hit.id != "00003.png"][:5]
    assert_same(by_entry.found[0].hits, [(hit.id, hit.score) for hit in shown])
    monkeypatch.setattr(searcher.index, "open_picture", lambda id_: pytest.fail(id_))
    searcher.ask(Question(entry="00003.png"))  # nothing is composed


def test_many_are_answered_as_one_by_one(searcher, picture):
    questions = [
        Question(TEXT, picture, k=3, columns=COLUMNS),
        Question("two red stars", k=9),
        Question("is red", entry="more & more/00055.png", k=5, columns=COLUMNS[1:3]),
        Question(picture=picture, k=1),
        Question(entry="00001.png", k=2),
        Question("is red", seen=searcher.encoder.see([picture]), k=4, columns=COLUMNS[2:]),
    ]
    for question, together in zip(questions, searcher.answer(questions), strict=True):
        alone = searcher.ask(question)
        assert (together.kind, together.prompt) == (alone.kind, alone.prompt)
        for one, other in zip(together.found, alone.found, strict=True):
            assert one.column == other.column
            assert len(one.hits) == question.k
            assert_same(one.hits, [(hit.id, hit.score) for hit in other.hits])


def test_the_index_is_asked_once(searcher, picture, monkeypatch):
    asked = []
    search = searcher.index.search

    def watched(vectors, k):
        asked.append((len(vectors), k))
        return search(vectors, k)

    monkeypatch.setattr(searcher.index, "search", watched)
    questions = [Question(TEXT, picture, k=3, columns=COLUMNS), Question("two red stars", k=9)]
    searcher.answer(questions)
    assert asked == [(6, 10)]


def test_what_is_wrong_with_one_is_not_the_others(searcher):
    first, wrong, last = searcher.answer(
        [Question("a star"), Question("is red", entry="nowhere.png"), Question("a ring")]
    )
    assert isinstance(wrong, UnknownEntryError)
    assert "nowhere.png" in str(wrong)
    assert first.found[0].hits == searcher.ask(Question("a star")).found[0].hits
    assert last.found[0].hits == searcher.ask(Question("a ring")).found[0].hits


def test_what_is_wrong_with_the_store_is_everybodys(searcher, monkeypatch):
    asked = []

    def down(vectors, k):
        asked.append(len(vectors))
        raise FileError("the store is down.")

    monkeypatch.setattr(searcher.index, "search", down)
    answers = searcher.answer([Question("a star"), Question("a ring")])
    assert [str(answer) for answer in answers] == ["the store is down."] * 2
    assert asked == [2]


def test_without_a_method_pictures_and_texts_are_searched_apart(place, patch_file):
    searcher = load_searcher(SearchInputs(str(place), device="cpu"))
    bare = Searcher(searcher.index, type(searcher.encoder)(None, None, searcher.encoder.backbone))
    assert bare.ask(Question("a star")).kind == "text"
    assert bare.ask(Question(entry="00001.png")).kind == "picture"
    with pytest.raises(UsageError, match="no method"):
        bare.ask(Question("is red", entry="00001.png"))


class _Loaded(Exception):
    pass


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        ({}, ("ViT-B-32", "openai")),
        ({"pretrained": "own.pt"}, ("ViT-B-32", "own.pt")),
        ({"backbone": "ViT-L-14"}, ("ViT-L-14", None)),
        ({"backbone": "ViT-L-14", "pretrained": "own.pt"}, ("ViT-L-14", "own.pt")),
    ],
)
def test_the_indexs_own_backbone_is_loaded(searcher, monkeypatch, given, loaded):
    card = replace(searcher.index.card, backbone="ViT-B-32", pretrained="openai")
    index = SimpleNamespace(card=replace(card, preprocess="targetpad"))

    def load(method, *, backbone, pretrained, preprocess, **rest):
        assert (method, backbone, pretrained, preprocess) == (None, *loaded, "targetpad")
        raise _Loaded

    monkeypatch.setattr("rtd_adapters.jobs.search.open_index", lambda name, say: index)
    monkeypatch.setattr("rtd_adapters.jobs.search.CompositionEncoder.load", load)
    with pytest.raises(_Loaded):
        load_searcher(SearchInputs("photos.index", **given))


def test_an_index_of_another_backbone_is_refused(place):
    with pytest.raises(BackboneError, match=r"as demo sees them .*demo-resnet is loaded"):
        load_searcher(SearchInputs(str(place), backbone="demo-resnet", device="cpu"))


def test_a_patch_of_another_tower_is_refused(place, tmp_path):
    other = load_backbone("demo")
    with torch.no_grad():
        next(other.tower.parameters()).add_(0.1)
    path = tmp_path / "other.safetensors"
    TextEncoderPatch.create("full", other, get_method("searle")).save(path)
    with pytest.raises(PatchError, match="fingerprint"):
        load_searcher(SearchInputs(str(place), patch=path, device="cpu"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nothing is asked"),
        ({"text": "  "}, "nothing is asked"),
        ({"text": "a star", "k": 0}, "0 results"),
        ({"entry": "1", "picture": Image.new("RGB", (4, 4))}, "one reference"),
    ],
)
def test_what_is_no_question(given, words):
    with pytest.raises(UsageError, match=words):
        Question(**given)


def test_columns():
    assert patched_column(0) is BASE_COLUMN
    assert different([BASE_COLUMN, patched_column(1), patched_column(0)]) == (
        BASE_COLUMN,
        patched_column(1),
    )
    with pytest.raises(UsageError, match="no rival 'tomorrow'"):
        rival_columns(["tomorrow"])
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="--strength"):
            patched_column(strength)
