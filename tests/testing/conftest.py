"""Methods of kinds that the built-in ones are not, as a plugin's author would write them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from rtd_adapters import (
    Composition,
    Method,
    Query,
    fill_projection,
    read_checkpoint,
    tensors_under,
)


class TrainingFree(Method):
    """No projection: the picture's embedding and the text's are added up."""

    name = "training_free"
    summary = "adds embeddings"
    reference_url = "https://example.org/training_free"
    layout = "openai"
    needs_projection = False

    def composed(self, projection, reference, texts):
        def combine(embeddings):
            (text,) = embeddings
            return normalize(text, dim=-1) + normalize(reference.embedding, dim=-1)

        return Composition((Query(texts),), combine)

    def bare(self, projection, reference, texts=None):
        return Composition((), lambda embeddings: reference.embedding)


class TwoQueries(Method):
    """Two prompts with three pseudo tokens each, mixed by weight, as in KEDs."""

    name = "two_queries"
    summary = "mixes two queries"
    reference_url = "https://example.org/two_queries"
    layout = "hf"
    placeholder = "*"
    composed_prompt = "a photo of * * * that {text}"
    bare_prompt = "a photo of * * *"

    def build_projection(self, shape):
        return nn.Sequential(
            nn.Linear(shape.embed_dim, 2 * 3 * shape.text_width),
            nn.Unflatten(1, (2, 3, shape.text_width)),
        )

    def load_projection(self, path, shape):
        tensors = tensors_under(read_checkpoint(path), "projection", path)
        return fill_projection(self.build_projection(shape), tensors, path)

    def composed(self, projection, reference, texts):
        prompts = [self.composed_prompt.format(text=text) for text in texts]
        return self._mixed(prompts, [f"* * * , {text}" for text in texts], projection, reference)

    def bare(self, projection, reference, texts=None):
        count = len(reference)
        return self._mixed([self.bare_prompt] * count, ["* * *"] * count, projection, reference)

    def _mixed(self, first, second, projection, reference):
        tokens = projection(reference.embedding)
        return Composition.weighted(
            (0.7, Query(first, tokens[:, 0])), (0.3, Query(second, tokens[:, 1]))
        )


class OneToken(Method):
    """The plainest method there is."""

    name = "one_token"
    summary = "one linear layer"
    reference_url = "https://example.org/one_token"
    layout = "openai"

    def build_projection(self, shape):
        return nn.Linear(shape.embed_dim, shape.text_width)


EXAMPLES = {method.name: method for method in (TrainingFree, TwoQueries, OneToken)}


@pytest.fixture
def example():
    """A method of this file by name, with attributes and functions of a test in place of its own.

    Given functions stand in for methods.
    """

    def make(name, /, **changes):
        return type("Changed", (EXAMPLES[name],), changes)()

    return make


@pytest.fixture(autouse=True)
def quiet_random():
    """Tests that draw leave the global generator as it was."""
    with torch.random.fork_rng():
        yield
