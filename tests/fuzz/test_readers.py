"""Every reader, given any file: it reads it, or it says in a sentence of its own why not.

Nothing else may come out of a reader than an `RtdError`: no other exception, no endless loop.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
from contextlib import suppress

import pytest
import torch
from hypothesis import given, strategies as st
from safetensors.torch import save

from rtd_adapters import TextEncoderPatch, get_method, read_captions, read_triplets
from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.clip.shapes import BackboneShape
from rtd_adapters.doctor import examine
from rtd_adapters.errors import RtdError
from rtd_adapters.evaluation.report.page import read_metrics, write_report
from rtd_adapters.evaluation.report.sections import curves_section
from rtd_adapters.evaluation.result import Result
from rtd_adapters.io.checkpoints import read_checkpoint
from rtd_adapters.io.json_files import read_json
from rtd_adapters.methods.projections import open_projection
from rtd_adapters.patch.file import read_patch
from rtd_adapters.training.anchor_store import AnchorStore, cached_towers
from rtd_adapters.triplets.columns import parse_columns
from rtd_adapters.triplets.json_list import JsonList, JsonListError
from rtd_adapters.triplets.language.kinds import read_kinds
from rtd_adapters.triplets.llm.answers import parse_answer
from rtd_adapters.triplets.llm.batch_lines import parse_lines
from rtd_adapters.triplets.llm.completion import parse_completion
from rtd_adapters.triplets.llm.endpoint import Endpoint
from rtd_adapters.triplets.llm.secrets import HIDDEN, hide
from rtd_adapters.triplets.work import Journal, work_folder
from tests.fuzz.damage import damaged, reshaped, written

SHAPE = BackboneShape(embed_dim=8, text_width=8, image_width=8)
TENSORS = {"layers.0.weight": torch.ones(3, 2), "layers.0.bias": torch.zeros(3)}
TRIPLET = {
    "reference_caption": "a red dog",
    "conditioning_caption": "is blue",
    "target_caption": "a blue dog",
}


def torch_file(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def parquet(rows: list[dict]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def patch_file(tmp_path_factory):
    """A whole patch, and its bytes."""
    from rtd_adapters.clip.backbones import Backbone
    from rtd_adapters.clip.text import TextTower, TowerConfig

    torch.manual_seed(0)
    tower = TextTower(TowerConfig(8, 1, 1, 8, "gelu", vocab_size=30, context_length=6))
    backbone = Backbone("tiny", None, tower, SHAPE, None, None)
    path = tmp_path_factory.mktemp("patch") / "patch.safetensors"
    TextEncoderPatch.create("full", backbone, get_method("searle")).save(path)
    return path.read_bytes()


CHECKPOINTS = {
    ".pt": torch_file({"epoch": 3, "Phi": TENSORS}),
    ".pth": torch_file(TENSORS),
    ".safetensors": save(TENSORS, metadata={"format": "pt"}),
}
TABLES = {
    "list.json": json.dumps([TRIPLET, TRIPLET]).encode(),
    "lines.jsonl": (json.dumps(TRIPLET) + "\n").encode() * 3,
    "table.csv": b"reference_caption,conditioning_caption,target_caption\na,b,c\nd,e,f\n",
    "table.tsv": b"reference_caption\tconditioning_caption\ttarget_caption\na\tb\tc\n",
    "lines.jsonl.gz": gzip.compress((json.dumps(TRIPLET) + "\n").encode() * 3),
    "table.parquet": parquet([TRIPLET, TRIPLET]),
}


@pytest.mark.parametrize("suffix", CHECKPOINTS)
@given(data=st.data())
def test_checkpoints(suffix, data, tmp_path):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data.draw(damaged(CHECKPOINTS[suffix])))
    with suppress(RtdError):
        read_checkpoint(path)
    with suppress(RtdError):
        open_projection(get_method("searle"), path, SHAPE)
    with suppress(RtdError):
        examine(path)


@given(data=st.data())
def test_pickled_modules(data, tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(data.draw(damaged(torch_file(torch.nn.Linear(2, 2)))))
    with suppress(RtdError):
        get_method("fti4cir").load_projection(path, SHAPE)


@given(data=st.data())
def test_patches(data, patch_file, tmp_path):
    """What is read of a damaged patch is what was written, or nothing is."""
    path = tmp_path / "patch.safetensors"
    path.write_bytes(patch_file)
    whole = TextEncoderPatch.load(path).state()
    path.write_bytes(data.draw(damaged(patch_file)))
    with suppress(RtdError):
        examine(path)
    with suppress(RtdError):
        state = TextEncoderPatch.load(path).state()
        assert all(torch.equal(state[name], tensor) for name, tensor in whole.items())


@given(data=st.data())
def test_patches_whose_metadata_lies(data, patch_file, tmp_path):
    path = tmp_path / "patch.safetensors"
    path.write_bytes(patch_file)
    tensors, metadata = read_patch(path)
    header = json.loads(metadata.to_header()["rtd"])
    lie = written(data.draw(reshaped(header))).decode("utf-8", "surrogatepass")
    with suppress(UnicodeEncodeError):
        path.write_bytes(save(tensors, metadata={"rtd": lie}))
    with suppress(RtdError):
        TextEncoderPatch.load(path).build_tower()
    with suppress(RtdError):
        examine(path)


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_triplets_and_captions(name, data, tmp_path):
    path = tmp_path / name
    path.write_bytes(data.draw(damaged(TABLES[name])))
    with suppress(RtdError):
        for triplet in read_triplets(path):
            assert all(isinstance(text, str) and text for text in vars(triplet).values())
    with suppress(RtdError):
        list(read_captions(path))


@given(data=st.data())
def test_triplets_of_another_shape(data, tmp_path):
    path = tmp_path / "list.json"
    path.write_bytes(written(data.draw(reshaped([TRIPLET, TRIPLET]))))
    with suppress(RtdError):
        read_triplets(path)


@given(data=st.data())
def test_the_anchor_cache(data, tmp_path, monkeypatch):
    """A damaged cache gives the vectors that were put in, or none."""
    monkeypatch.setenv("RTD_CACHE", str(tmp_path / "cache"))
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    texts, vectors = ["a", "b", "c"], torch.arange(24.0).view(3, 8)
    store = AnchorStore("f" * 64, 8, "tiny")
    store.add(texts, vectors)
    store.flush()
    (path,) = store.folder.glob("*.npy")
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    with suppress(RtdError):
        found = AnchorStore("f" * 64, 8, "tiny").find(texts)
        for hit, vector, wanted in zip(found.hits, found.vectors, vectors, strict=True):
            assert not hit or torch.equal(vector, wanted)
    with suppress(RtdError):
        cached_towers()


@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_answers_of_language_models(text):
    parse_answer("a red dog", text)
    parse_answer("a red dog", json.dumps({"conditioning": text, "target": text}))


@given(data=st.data())
def test_answers_of_another_shape(data):
    answer = data.draw(reshaped({"conditioning": "is blue", "target": "a blue dog"}))
    parse_answer("a red dog", written(answer).decode("utf-8", "surrogatepass"))


WORDS = b"# mine\nfabric adjective: tweed | satin, silk\npet count: dog, hound | cat\n"
COMPLETION = {
    "choices": [{"message": {"content": "a text"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}


@given(data=st.data())
def test_bodies_of_servers(data):
    """Of a body of any shape comes an answer that can be kept, or a sentence."""
    whole = json.dumps(COMPLETION).encode()
    for body in (data.draw(damaged(whole)), written(data.draw(reshaped(COMPLETION)))):
        with suppress(RtdError):
            answer = parse_completion(body)
            assert isinstance(answer.text, str)
            assert min(answer.prompt_tokens, answer.completion_tokens) >= 0
            parse_answer("a red dog", answer.text)


BATCH_LINE = {
    "custom_id": "0-1",
    "response": {"status_code": 200, "body": COMPLETION},
    "error": {"code": "batch_expired"},
}


@given(data=st.data())
def test_files_of_batches(data):
    """Of lines of any shape come answers that can be kept, or reasons in a few plain words."""
    whole = (json.dumps(BATCH_LINE | {"error": None}) + "\n").encode() * 2
    for body in (data.draw(damaged(whole)), written(data.draw(reshaped(BATCH_LINE))) + b"\n"):
        with suppress(RtdError):
            for line in parse_lines(body):
                if isinstance(line.outcome, str):
                    assert line.outcome.isprintable()
                    assert len(line.outcome) < 40


@given(data=st.data())
def test_journals_of_unfinished_runs(data, tmp_path):
    """Of a damaged journal come rows that were written, the first ones, or none."""
    path = tmp_path / "answers.jsonl"
    path.unlink(missing_ok=True)
    rows = [{"number": n, "triplet": ["a", "b", "c"], "tokens": [1, 2]} for n in range(3)]
    with Journal(path).writing() as writer:
        for row in rows:
            writer.append(row)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    with suppress(RtdError):
        for row in Journal(path):
            assert row in rows


@given(data=st.data())
def test_settings_of_unfinished_runs(data, tmp_path):
    """Damaged settings are other settings: refused, and replaced with overwrite."""
    out, settings = tmp_path / "out", {"model": "m", "band": [0.5, 0.7]}
    path = tmp_path / "out.work" / "settings.json"
    path.parent.mkdir(exist_ok=True)
    damage = damaged(json.dumps(settings).encode()) | reshaped(settings).map(written)
    path.write_bytes(data.draw(damage))
    with suppress(RtdError), work_folder(out, settings, overwrite=False):
        pass
    path.parent.mkdir(exist_ok=True)
    with work_folder(out, settings, overwrite=True):
        assert json.loads(path.read_text()) == settings


@given(data=st.data())
def test_lists_read_entry_by_entry(data):
    """A list in a stream gives what Python's own reader gives, or says where it stops."""
    text = data.draw(damaged(TABLES["list.json"]) | reshaped([TRIPLET, TRIPLET]).map(written))
    with suppress(JsonListError):
        entries = list(JsonList(io.BytesIO(text)))
        assert repr(entries) == repr(json.loads(text.decode("utf-8-sig")))


@given(text=st.text(max_size=80), secret=st.text(min_size=1, max_size=12))
def test_addresses_and_what_servers_say(text, secret):
    assert secret not in hide(text + secret, [secret]).replace(HIDDEN, "")
    with suppress(RtdError):
        Endpoint(f"http://{text}", "m")


@given(data=st.data())
def test_words_by_kind(data, tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(data.draw(damaged(WORDS)))
    with suppress(RtdError):
        assert "red" in read_kinds(path)  # of the built-in list


@given(data=st.data())
def test_results(data, tmp_path):
    record = {"id": "1", "part": "", "reference": "a", "text": "is red", "targets": ["b"]}
    record |= {"category": "", "base_rank": 1, "patched_rank": 2, "base_top": [], "patched_top": []}
    result = {"method": "m", "benchmark": "b", "split": "val", "base": {"recall@1": 50.0}}
    result |= {"patched": {"recall@1": 60.0}, "intervals": {"recall@1": [1.0, 2.0]}}
    result |= {"queries": [record], "settings": {"prompt": "p"}}
    path = tmp_path / "result.json"
    path.write_bytes(written(data.draw(reshaped(result))))
    with suppress(RtdError):
        Result.load(path).records()
        write_report(tmp_path, tmp_path / "report.html")


@given(data=st.data())
def test_training_curves(data, tmp_path):
    lines = [{"step": step, "loss": 1.0 / step, "anchor_recall@1": 50.0} for step in (1, 2, 3)]
    changed = data.draw(reshaped(lines))
    path = tmp_path / "metrics.jsonl"
    each = changed if isinstance(changed, list) else [changed]
    whole = b"\n".join(map(written, each))
    path.write_bytes(data.draw(damaged(whole) | st.just(whole)))
    with suppress(RtdError):
        curves_section(read_metrics(path)).encode()


@given(data=st.data())
def test_model_configs(data, tmp_path):
    from rtd_adapters.demo.models import RESNET

    path = tmp_path / "rtd-fuzz.json"
    path.write_bytes(written(data.draw(reshaped(RESNET.config))))
    with suppress(RtdError):
        load_backbone(str(path), str(path))


@given(st.text(max_size=60))
def test_column_names(text):
    with suppress(RtdError):
        parse_columns(text)


@given(data=st.binary(max_size=200))
def test_json(data, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with suppress(RtdError):
        read_json(path)
