"""The fast engine computes what the reference computes, whatever a tower looks at."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_towers import TINY
from tower_case import PLACEHOLDER
from tower_cells import difference, engine_difference, some_batch, towers_for, with_factors

from rtd_adapters.methods.query import Query, query_ids
from rtd_adapters.training import TrainingSettings
from rtd_adapters.training.batches import TripletBatch
from rtd_adapters.training.packed_texts import embed_queries
from rtd_adapters.training.packed_tower import pack_texts

TOLERANCE = 1e-5
OF_EACH_MASK = [
    "open_clip MetaCLIP 2, XLM-V's tokens",
    "open_clip MobileCLIP-S, MobileCLIP2-S",
    "open_clip SigLIP 2",
    "open_clip CoCa",
    "open_clip mT5",
    "transformers BLIP",
]
UNEVEN = TripletBatch(
    references=["a dog", "a dog", "a cat on a very long and winding road in the rain"],
    conditioning=["is red", "is red", "has become a pack of dogs that bark all night"],
    targets=["a red dog", "a red dog", "a dog"],
    noise_seed=3,
)


@pytest.mark.parametrize("kind", ["full", "lora"])
@pytest.mark.parametrize("name", TINY)
def test_loss_and_every_gradient_are_the_references(name, kind, tower):
    towers = towers_for(tower)
    if kind == "lora":
        with_factors(towers)
    assert engine_difference(towers, TrainingSettings(), some_batch(towers, 7)) <= TOLERANCE


@pytest.mark.parametrize("name", TINY)
def test_in_double_precision_nothing_of_a_difference_is_left(name, tower):
    """What is left in fp32 is rounding, and no part of a text too few or too many."""
    towers = towers_for(copy.deepcopy(tower).double())
    assert engine_difference(towers, TrainingSettings(), some_batch(towers, 5)) <= 1e-12


@pytest.mark.parametrize(
    "changes",
    [
        {"refined_batch": False},
        {"concat": "text"},
        {"chunk_size": 2},
        {"checkpoint_activations": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
@pytest.mark.parametrize("name", OF_EACH_MASK)
def test_every_setting_gives_the_references_gradients(name, changes, tower):
    towers = towers_for(tower)
    settings = TrainingSettings(**changes)
    assert engine_difference(towers, settings, some_batch(towers, 5)) <= TOLERANCE


@pytest.mark.parametrize("name", TINY)
def test_texts_that_repeat_and_texts_of_uneven_length(name, tower):
    assert engine_difference(towers_for(tower), TrainingSettings(), UNEVEN) <= TOLERANCE


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_packed_queries_are_the_librarys_own_embeddings(name, case, tower):
    tokenizer = tower.tokenizer("$")
    pseudo = torch.randn(3, 2, tower.config.width, generator=torch.Generator().manual_seed(0))
    prompts = ["a $ and $", "$ and a dog", "$ beside $ in a garden of red flowers"]
    plain, marked = Query(["a dog", "x", "a dog"]), Query(prompts, pseudo)
    bare = Query(["a photo of $"] * 3, pseudo[:, :1])
    found = embed_queries(tower, tokenizer, [plain, marked, bare])
    expected = [case.encode(query_ids(tokenizer, plain))]
    expected += [case.encode_with(query_ids(tokenizer, q), q.pseudo_tokens) for q in (marked, bare)]
    assert difference(case, found, torch.cat(expected)) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        # Beginnings are shared: begin, a, dog | cat, end; and "runs, end" behind dog.
        ("open_clip CLIP", 8),
        # Texts of 4, 4 and 5 tokens, one of them twice.
        ("transformers BLIP", 13),
        # The same: the appended token, and the padding before it that CoCa's mask lets through.
        ("open_clip CoCa", 13 + 3 + 3),
        # Three texts of twenty places.
        ("open_clip SigLIP", 60),
        ("open_clip MobileCLIP-S, MobileCLIP2-S", 60),
    ],
)
def test_what_is_computed_is_what_differs(name, nodes, tower):
    texts = ["a dog", "a cat", "a dog", "a dog runs"]
    ids = tower.trimmed(tower.tokenizer().encode(texts))
    pack = pack_texts(tower, ids, ids)
    assert len(pack.unfold.unique()) == nodes


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_a_pseudo_token_is_shared_with_nobody_elses(name, tower):
    """Prompts that are equal but for their pseudo tokens stay apart, in one query and in two."""
    pseudo = torch.randn(4, 1, tower.config.width, generator=torch.Generator().manual_seed(1))
    tokenizer = tower.tokenizer("$")
    prompts = ["a photo of $"] * 2
    found = embed_queries(
        tower, tokenizer, [Query(prompts, pseudo[:2]), Query(prompts, pseudo[2:])]
    )
    ids = query_ids(tokenizer, Query(prompts, pseudo[:2]))
    expected = tower(torch.cat([ids, ids]), pseudo, PLACEHOLDER)
    scale = expected.abs().max()
    assert (found - expected).abs().max() <= TOLERANCE * scale
    apart = torch.cdist(found, found).fill_diagonal_(torch.inf)
    assert apart.min() > 1e-3 * scale
