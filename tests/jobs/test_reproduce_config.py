"""Files of experiments: what is refused, where, and what is missing rather than wrong."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from rtd_adapters.errors import FileError
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.jobs.reproduce.config import read_config
from rtd_adapters.jobs.reproduce.identity import Identities
from rtd_adapters.jobs.reproduce.plan import make_plan

EXAMPLES = Path(__file__).parents[2] / "examples" / "reproduce"
GOOD = {
    "title": "t",
    "backbones": {"demo": {}, "L": {"model": "ViT-L-14", "pretrained": "openai"}},
    "methods": {
        "searle": {},
        "words": {"method": "fti4cir", "options": {"stand_in": "words"}},
        "reuse": {"method": "fti4cir", "options": {"stand_in": "reuse"}},
    },
    "triplets": {"mine": {"file": "t.jsonl"}},
    "trainings": {"short": {"steps": 2, "learning_rate": 1}},
    "benchmarks": {"demo": {}, "cirr": {"data": "CIRR"}},
    "experiments": {
        "e": {
            "methods": ["searle"],
            "backbones": ["demo"],
            "triplets": ["own"],
            "trainings": ["short"],
            "benchmarks": ["demo"],
            "seeds": [0, 1],
        }
    },
}


@pytest.fixture
def read(tmp_path):
    """Reads GOOD after a change of it: keys, and the value that is put there."""

    def of(*change):
        values = copy.deepcopy(GOOD)
        if change:
            *keys, last, value = change
            place = values
            for key in keys:
                place = place[key]
            place[last] = value
        file = tmp_path / "c.yaml"
        file.write_text(yaml.safe_dump(values, sort_keys=False))
        return read_config(file)

    return of


def test_a_good_file_is_read(read, tmp_path):
    config = read()
    assert config.backbones["L"].pretrained == "openai"
    assert config.backbones["demo"].model == "demo"
    assert config.triplets["mine"].file == tmp_path / "t.jsonl"
    assert config.methods["words"].configured().stand_in == "words"
    runs = make_plan(config).searches
    assert [run.seed for run in runs] == [0, 1]
    assert next(iter(runs)).job(tmp_path).settings.steps == 2


EXPERIMENT = ("experiments", "e")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("extra", 1), r"c.yaml: 'extra' is no key here; there are title, backbones"),
        (("title", 3), r"'title' is a number, where a text belongs"),
        (("title", None), r"'title' is empty"),
        (("experiments", {}), r"'experiments' names none"),
        (("methods", []), r"where an object belongs"),
        (("backbones", "a/b", {}), r"'a/b' is no name"),
        (("backbones", "..", {}), r"'\.\.' is no name"),
        (("backbones", 7, {}), r"'a name' is a number"),
        (("backbones", "L", "weights", "x.pt"), r"'L': it has both 'pretrained'"),
        (("backbones", "L", "folder", "x"), r"take the other keys out"),
        (("backbones", "L", "size", 3), r"'backbones', 'L': 'size' is no key here"),
        (("methods", "serle", {}), r"'methods', 'serle': Unknown method 'serle'. Did you mean"),
        (("methods", "words", "options", {"stand_in": "no"}), r"has no stand_in 'no'"),
        (("methods", "words", "options", {"stand_in": 1}), r"'stand_in' is a number"),
        (("methods", "searle", "projections", {"M": "x"}), r"'M' is no key here; there are demo"),
        (("methods", "searle", "training_projections", {"L": "x"}), r"stand_in: reuse alone"),
        (("triplets", "own", {"file": "x"}), r"take another name"),
        (("triplets", "mine", "columns", "x"), r"'mine': --columns 'x'"),
        (("triplets", "mine", {}), r"'mine': 'file' is missing"),
        (("trainings", "short", "seed", 1), r"an experiment's 'seeds'"),
        (("trainings", "short", "stepz", 1), r"'short': 'stepz' is no key here"),
        (("trainings", "short", "steps", 1.5), r"'steps' is a number \(1.5\), where a whole num"),
        (("trainings", "short", "steps", True), r"'steps' is a truth value"),
        (("trainings", "short", "steps", -1), r"--max-steps is -1"),
        (("trainings", "short", "noise_scale", "much"), r"'noise_scale' is a text \(much\)"),
        (("trainings", "short", "refined_batch", 0), r"where true or false belongs"),
        (("trainings", "short", "concat", "words"), r"where one of refined, text belongs"),
        (("trainings", "short", "mixed_precision", False), r"where one of no, fp16, bf16"),
        (("trainings", "short", "chunk_size", "x"), r"where a whole number belongs"),
        (("trainings", "short", "kind", "half"), r"'kind' is 'half'; there are"),
        (("trainings", "short", "recipe", "mine"), r"'recipe' is 'mine'; there are paper"),
        (("benchmarks", "cirrr", {}), r"Unknown benchmark 'cirrr'. Did you mean 'cirr'"),
        (("benchmarks", "cirr", {}), r"'cirr': it lacks 'data'"),
        (("benchmarks", "demo", "data", "x"), r"lies in no folder"),
        (("benchmarks", "demo", "strength", "1"), r"'strength' is a text"),
        (("benchmarks", "demo", "preprocess", "pad"), r"Unknown preprocessing 'pad'"),
        ((*EXPERIMENT, "seeds", []), r"'seeds' is empty"),
        ((*EXPERIMENT, "seeds", [1, 1]), r"names one twice"),
        ((*EXPERIMENT, "seeds", [0.5]), r"whole numbers belong"),
        ((*EXPERIMENT, "seeds", [-1]), r"--seed is -1"),
        ((*EXPERIMENT, "methods", ["searle", "searle"]), r"names 'searle' twice"),
        ((*EXPERIMENT, "methods", ["linear"]), r"which the file does not describe \(searle, words"),
        ((*EXPERIMENT, "methods", "searle"), r"where a list belongs"),
        ((*EXPERIMENT, "methods", []), r"an empty list"),
        ((*EXPERIMENT, "method", ["searle"]), r"'e': 'method' is no key here"),
    ],
)
def test_a_defect_is_refused_with_file_and_key(change, why, read):
    with pytest.raises(FileError, match=why) as refused:
        read(*change)
    message = str(refused.value)
    assert "c.yaml" in message
    assert message.endswith("Mend the file; docs/evaluation.md shows how one is written.")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((*EXPERIMENT, "benchmarks", ["cirr"]), r"'e': searle, demo.* do not go together"),
        ((*EXPERIMENT, "backbones", ["L"]), r"'e': searle, L.* do not go together"),
        (("trainings", "short", {"engine": "reference", "chunk_size": 2}), r"needs the fast eng"),
    ],
)
def test_what_does_not_go_together_is_refused(change, why, read):
    with pytest.raises(FileError, match=why):
        make_plan(read(*change))


def test_an_own_name_is_only_for_backbones_that_bring_triplets(read, tmp_path):
    (tmp_path / "CIRR").mkdir()
    experiment = {**GOOD["experiments"]["e"], "backbones": ["L"], "benchmarks": ["cirr"]}
    with pytest.raises(FileError, match="brings no triplets of its own"):
        make_plan(read("experiments", "e", experiment))


@pytest.fixture
def real(read, tmp_path, benchmark_folder, monkeypatch):
    """A plan of one run on real inputs, given the files that are there."""

    def plan(*there, method="searle", data="CIRR", benchmarks=("cirr",), own="phi.pt"):
        for name in there:
            (tmp_path / name).touch()
        monkeypatch.setenv("CIRR_HERE", str(benchmark_folder("cirr")))
        values = copy.deepcopy(GOOD)
        values["methods"]["searle"] = {"projections": {"L": "phi.pt"}}
        values["methods"]["reuse"]["projections"] = {"L": own} if own else {}
        values["methods"]["reuse"]["training_projections"] = {"L": "searle.pt"}
        values["benchmarks"]["cirr"]["data"] = data
        values["benchmarks"]["coco-captions"] = {"data": str(benchmark_folder("coco-captions"))}
        values["experiments"]["e"].update(
            methods=[method], backbones=["L"], triplets=["mine"], benchmarks=[*benchmarks]
        )
        file = tmp_path / "c.yaml"
        file.write_text(yaml.safe_dump(values, sort_keys=False))
        return make_plan(read_config(file))

    return plan


def test_what_is_missing_is_skipped_once_for_all_seeds(real, tmp_path):
    plan = real("t.jsonl", data="${CIRR_HERE}")
    (skipped,) = plan.skipped
    assert (skipped.experiment, skipped.what) == ("e", "searle, L, mine, short")
    assert skipped.why == f"{tmp_path / 'phi.pt'} is not there"
    assert not plan.searches


def test_what_a_run_lacks_is_said_where_no_benchmark_is_there_either(real, tmp_path):
    plan = real("t.jsonl")
    why = f"{tmp_path / 'phi.pt'} is not there"
    assert ("searle, L, mine, short", why) in [(s.what, s.why) for s in plan.skipped]
    assert len(plan.skipped) == 2


def test_with_everything_there_nothing_is_skipped(real):
    plan = real("t.jsonl", "phi.pt", data="${CIRR_HERE}")
    assert not plan.skipped
    assert len(plan.searches) == 2


def test_a_method_that_reuses_another_needs_both_projections(real, tmp_path):
    (skipped,) = real("t.jsonl", "phi.pt", method="reuse", data="${CIRR_HERE}").skipped
    assert skipped.why == f"{tmp_path / 'searle.pt'} is not there"


@pytest.mark.parametrize("own", ["gone.pt", None])
def test_plain_captions_are_searched_without_the_methods_own_projection(real, own, tmp_path):
    """That training sees is another's, and there; what composes is not."""
    given = {"method": "reuse", "data": "${CIRR_HERE}", "own": own}
    why = "no projection of fti4cir for L is named"
    if own:
        why = f"{tmp_path / own} is not there"
    plan = real("t.jsonl", "searle.pt", benchmarks=("cirr", "coco-captions"), **given)
    cell = "reuse, L, mine, short"
    assert [(s.what, s.why) for s in plan.skipped] == [(f"{cell} on cirr", why)]
    assert [[c.name for c in asked] for asked in plan.searches.values()] == [["coco-captions"]] * 2
    alone = real(benchmarks=("coco-captions",), **given)
    assert not alone.skipped
    assert len(alone.searches) == 2
    none = real(benchmarks=("cirr",), **given)
    assert [(s.what, s.why) for s in none.skipped] == [(cell, why)]
    assert not none.searches


def test_a_patch_of_plain_captions_needs_what_it_is_trained_with(real, tmp_path):
    both = ("cirr", "coco-captions")
    plan = real("t.jsonl", method="reuse", benchmarks=both, own="searle.pt", data="${CIRR_HERE}")
    (skipped,) = plan.skipped
    assert skipped.what == "reuse, L, mine, short"
    assert skipped.why == f"{tmp_path / 'searle.pt'} is not there"
    assert not plan.searches


def test_a_result_is_known_by_the_projection_that_it_was_composed_with(real, tmp_path):
    plan = real(
        "t.jsonl",
        "phi.pt",
        "searle.pt",
        method="reuse",
        benchmarks=("cirr", "coco-captions"),
        data="${CIRR_HERE}",
    )
    run, (composed, plain) = next(iter(plan.searches.items()))
    (tmp_path / "phi.pt").write_text("mine")
    before, trained = (
        [Identities().of_search(run, c, plan.benchmarks[c.name]) for c in (composed, plain)],
        Identities().of_run(run),
    )
    assert before[0]["projection"] == file_sha256(tmp_path / "phi.pt")
    assert before[1]["projection"] is None
    assert trained["training projection"] == file_sha256(tmp_path / "searle.pt")
    (tmp_path / "phi.pt").write_text("another")
    assert Identities().of_search(run, plain, plan.benchmarks["coco-captions"]) == before[1]
    assert Identities().of_run(run) == trained
    assert Identities().of_search(run, composed, plan.benchmarks["cirr"]) != before[0]


def test_a_projection_that_nobody_names_is_missing(real):
    skipped = real("t.jsonl", method="words", data="${CIRR_HERE}").skipped
    assert [s.why for s in skipped] == ["no projection of fti4cir for L is named"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("CIRR", "CIRR is not there"),
        (".", "lacks "),
        ("${NOBODY_SETS_THIS}/CIRR", "is not there (set ${NOBODY_SETS_THIS})"),
    ],
)
def test_missing_data_is_skipped(real, data, why):
    plan = real("t.jsonl", "phi.pt", data=data)
    (skipped,) = plan.skipped
    assert skipped.what == "cirr"
    assert why in skipped.why
    assert not plan.searches


def test_experiments_share_what_both_ask_for(read):
    config = read("experiments", "f", {**GOOD["experiments"]["e"], "seeds": [1, 2]})
    assert [run.seed for run in make_plan(config).searches] == [0, 1, 2]


def test_the_papers_file_is_sound_and_skips_all_where_nothing_is(monkeypatch):
    for name in ("RTD_WEIGHTS", "RTD_DATA"):
        monkeypatch.delenv(name, raising=False)
    config = read_config(EXAMPLES / "paper.yaml")
    plan = make_plan(config)
    assert not plan.searches
    experiments = {experiment.name for experiment in config.experiments}
    assert {skipped.experiment for skipped in plan.skipped} == experiments
    assert len({m.method for m in config.methods.values()}) == 5
    assert len(config.backbones) == 3
