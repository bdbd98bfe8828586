"""The encoder where a sentence-transformers model is expected, against the real library."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtd_adapters import CompositionEncoder, SentenceEncoder, UsageError
from rtd_adapters.evaluation.benchmark import load_benchmark

TEXTS = ["is red", "is blue and large", "has two stars"]


@pytest.fixture(scope="module")
def pictures():
    benchmark = load_benchmark("demo")
    return [benchmark.open_image(image) for image in benchmark.parts[0].gallery[:3]]


@pytest.fixture(scope="module")
def encoder():
    return CompositionEncoder.load("searle", device="cpu")


@pytest.fixture(scope="module")
def model(encoder):
    return SentenceEncoder(encoder)


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip(
        "sentence_transformers", minversion="5", reason="sentence-transformers >= 5 is not there"
    )


def near(found, wanted):
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_each_kind_of_input_goes_its_own_way(batch_size, model, encoder, pictures):
    composed = encoder.encode_composed(pictures, TEXTS)
    mixed = [
        TEXTS[0],
        pictures[0],
        (pictures[0], TEXTS[0]),
        {"image": pictures[1], "text": TEXTS[1]},
        {"text": TEXTS[1]},
        {"text": TEXTS[2], "image": pictures[2]},
        {"image": pictures[1]},
    ]
    texts, images = encoder.encode_texts(TEXTS), encoder.encode_images(pictures)
    wanted = [texts[0], images[0], composed[0], composed[1], texts[1], composed[2], images[1]]
    near(model.encode(mixed, batch_size=batch_size), np.stack(wanted))


def test_a_single_input_gives_a_vector(model, encoder, pictures):
    for one, many in (
        ("is red", encoder.encode_texts(["is red"])),
        (pictures[0], encoder.encode_images(pictures[:1])),
        ((pictures[0], "is red"), encoder.encode_composed(pictures[:1], ["is red"])),
        ({"image": pictures[0]}, encoder.encode_images(pictures[:1])),
    ):
        near(model.encode(one), many[0])
    two = model.encode(("is red", "is blue"))
    near(two, encoder.encode_texts(["is red", "is blue"]))
    near(model.encode(np.array(TEXTS)), encoder.encode_texts(TEXTS))
    assert model.encode([]).shape == (0, encoder.embed_dim)


def test_forms_of_the_result(model, encoder, capsys):
    found = model.encode(TEXTS)
    assert isinstance(found, np.ndarray)
    tensor = model.encode(TEXTS, convert_to_tensor=True, show_progress_bar=False)
    assert torch.is_tensor(tensor)
    near(tensor.numpy(), found)
    rows = model.encode(TEXTS, convert_to_numpy=False)
    assert [torch.is_tensor(row) for row in rows] == [True] * 3
    assert capsys.readouterr().err == ""
    model.encode(TEXTS, show_progress_bar=True)
    assert "3/3" in capsys.readouterr().err
    near(model.encode(TEXTS, normalize_embeddings=False), found)
    assert model.get_embedding_dimension() == encoder.embed_dim == found.shape[1]
    assert model.get_sentence_embedding_dimension() == encoder.embed_dim


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "query: "},
        {"truncate_dim": 8},
        {"precision": "int8"},
        {"output_value": "token_embeddings"},
        {"made_up": 1},
    ],
)
def test_what_is_not_done_is_refused(asked, model):
    with pytest.raises(UsageError, match=f"{next(iter(asked))}=.* is not done"):
        model.encode(TEXTS, **asked)
    usual = {"prompt": None, "prompt_name": None, "truncate_dim": None, "precision": "float32"}
    assert model.encode(TEXTS, **usual).shape == (3, model.get_embedding_dimension())


def test_other_inputs_are_refused(model, pictures):
    for other in (
        3,
        None,
        ("a.jpg", "is red", "is blue", 1),
        [[pictures[0], "is red"]],
        [("a.jpg", "is red")],
        [{"image": "a.jpg", "text": "is red"}],
        [{"picture": pictures[0]}],
        [{}],
        [(pictures[0], None)],
        [{"text": pictures[0]}],
    ):
        with pytest.raises(UsageError, match="it must be a text, a PIL picture"):
            model.encode(other)


def test_similarity_is_the_librarys(library, model, pictures):
    from sentence_transformers import util

    first, second = model.encode(TEXTS), model.encode(pictures) * 3
    torch.testing.assert_close(model.similarity(first, second), util.cos_sim(first, second))
    wanted = util.pairwise_cos_sim(torch.from_numpy(first), torch.from_numpy(second))
    torch.testing.assert_close(model.similarity_pairwise(first, second), wanted)
    assert model.similarity(first[0], second).shape == (1, 3)


def test_the_librarys_search_finds_what_a_sort_finds(library, model, pictures):
    from sentence_transformers.util import semantic_search

    gallery = model.encode(pictures, convert_to_tensor=True)
    pairs = list(zip(pictures, TEXTS, strict=True))
    queries = model.encode(pairs, convert_to_tensor=True)
    found = semantic_search(queries, gallery, top_k=3)
    order = (queries @ gallery.T).argsort(dim=1, descending=True)
    assert [[hit["corpus_id"] for hit in hits] for hits in found] == order.tolist()


def test_the_librarys_evaluator_takes_it(library, model, encoder):
    from sentence_transformers.sentence_transformer.evaluation import (
        InformationRetrievalEvaluator,
    )

    benchmark = load_benchmark("demo")
    (part,) = benchmark.parts
    asked, ids = part.queries[:20], part.gallery[:60]
    ids = tuple(dict.fromkeys((*ids, *(query.targets[0] for query in asked))))
    references = [benchmark.open_image(query.reference) for query in asked]
    opened = {image: benchmark.open_image(image) for image in ids}
    evaluator = InformationRetrievalEvaluator(
        {q.id: (picture, q.texts[0]) for q, picture in zip(asked, references, strict=True)},
        opened,
        {query.id: {query.targets[0]} for query in asked},
        accuracy_at_k=[1, 5],
        show_progress_bar=False,
    )
    figures = evaluator(model)
    scores = encoder.encode_composed(references, [query.texts[0] for query in asked])
    scores = scores @ encoder.encode_images(list(opened.values())).T
    ranks = [
        int((row > row[ids.index(query.targets[0])]).sum())
        for row, query in zip(scores, asked, strict=True)
    ]
    for cutoff in (1, 5):
        wanted = sum(rank < cutoff for rank in ranks) / len(ranks)
        assert figures[f"cosine_accuracy@{cutoff}"] == pytest.approx(wanted)
    assert figures["cosine_accuracy@5"] > 0
