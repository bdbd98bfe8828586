"""Pseudo tokens of another size than words are noticed; those of sound projections are not."""

from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from rtd_adapters import get_method, load_backbone, load_projection
from rtd_adapters.methods.scale import BAND, scale_note

METHODS = ("searle", "pic2word", "context_i2w", "fti4cir", "keds")
"""LinCIR's tokens are longer: see `BAND`."""


@pytest.fixture(scope="module")
def demo():
    return load_backbone()


@pytest.mark.parametrize("name", METHODS)
def test_the_built_in_projections_give_no_warning(name, demo):
    method = get_method(name)
    assert scale_note(method, load_projection(method, demo, None)[0], demo) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["searle", "pic2word"])
def test_untrained_projections_of_the_same_kind_give_none_either(name, seed, demo):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = get_method(name).build_projection(demo.shape).eval()
    assert scale_note(get_method(name), module, demo) is None


def last_layer_times(path, out, factor):
    """A projection whose tokens are longer, as if it had been trained on shorter inputs."""
    tensors = load_file(path)
    last = max(name for name in tensors if name.endswith(".weight")).removesuffix(".weight")
    for leaf in ("weight", "bias"):
        tensors[f"{last}.{leaf}"] = tensors[f"{last}.{leaf}"] * factor
    save_file(tensors, out)
    return out


@pytest.mark.parametrize(("factor", "cause"), [(10, "normalised embeddings"), (0.01, "untrained")])
def test_the_warning_has_both_numbers_and_the_likely_cause(factor, cause, demo, tmp_path):
    from rtd_adapters.clip.sources import backbone_source

    searle = get_method("searle")
    path = last_layer_times(
        backbone_source("demo").projection("searle"), tmp_path / "phi.safetensors", factor
    )
    module, _ = load_projection(searle, demo, path)
    note = scale_note(searle, module, demo)
    assert cause in note
    own, words = map(float, re.search(r"norm ([\d.]+), .* ([\d.]+) \(medians", note).groups())
    rows = demo.tower.token_embedding.weight.norm(dim=1)
    assert words == pytest.approx(rows[rows > 0].median().item(), rel=0.01)
    assert not BAND[0] <= own / words <= BAND[1]


@pytest.mark.parametrize(("ratio", "noted"), [(0.48, 1), (0.52, 0), (59.5, 0), (60.5, 1)])
def test_the_band_is_the_documented_one(ratio, noted, demo):
    """Tokens of one known length, whatever the embedding."""
    rows = demo.tower.token_embedding.weight.norm(dim=1)
    length = ratio * rows[rows > 0].median().item()
    token = torch.full((demo.shape.text_width,), length / demo.shape.text_width**0.5)

    class OneToken(torch.nn.Module):
        def forward(self, vectors):
            return token.expand(len(vectors), -1)

    assert (scale_note(get_method("searle"), OneToken(), demo) is not None) == noted


def test_a_method_without_pseudo_tokens_gives_none(demo):
    from rtd_adapters import Composition, Method, Query

    class Plain(Method):
        needs_projection = False

        def composed(self, projection, reference, texts):
            return Composition((Query(texts),))

    assert scale_note(Plain(), torch.nn.Identity(), demo) is None


def test_a_file_that_names_its_tower_is_not_measured(demo, tmp_path):
    from rtd_adapters.clip.sources import backbone_source
    from rtd_adapters.clip.text import fingerprint
    from rtd_adapters.methods.projection_files import write_safetensors
    from rtd_adapters.methods.scale import foreign_scale_note

    searle, long = get_method("searle"), tmp_path / "long.safetensors"
    last_layer_times(backbone_source("demo").projection("searle"), long, 10)
    module, _ = load_projection(searle, demo, long)
    assert foreign_scale_note(long, searle, module, demo)
    about = {"method": "searle", "base_fingerprint": fingerprint(demo.tower.state_dict())}
    write_safetensors(module, about, trained := tmp_path / "trained.safetensors")
    assert foreign_scale_note(trained, searle, module, demo) is None


def test_patch_and_eval_say_it_on_stderr_and_leave_json_alone(tmp_path):
    from click.testing import CliRunner

    from rtd_adapters.cli import cli
    from rtd_adapters.clip.sources import backbone_source

    path = last_layer_times(
        backbone_source("demo").projection("searle"), tmp_path / "phi.safetensors", 10
    )
    patch = ["patch", "-m", "searle", "--out", str(tmp_path / "w.safetensors"), "--max-steps", "0"]
    evaluation = ["eval", "-m", "searle"]
    for words in (patch, evaluation):
        run = CliRunner().invoke(cli, [*words, "--projection", str(path)])
        assert "warning: the projection's pseudo tokens have norm" in run.stderr, run.output
    run = CliRunner().invoke(cli, [*evaluation, "--projection", str(path), "--json"])
    assert json.loads(run.stdout)
