"""Pictures embedded: the same by any road, kept as far as a run came, and every fault named."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tqdm import tqdm

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.clip.images import image_states
from rtd_adapters.compute.processes import Processes
from rtd_adapters.errors import EvaluationError, FileError, UsageError
from rtd_adapters.evaluation import loading, shards
from rtd_adapters.evaluation.benchmark import Benchmark, EvalQuery, Part, image_at
from rtd_adapters.evaluation.extraction import left_out_note, without
from rtd_adapters.evaluation.features import Pictures
from rtd_adapters.evaluation.image_tower import ImageTower
from rtd_adapters.evaluation.kept import KeptEmbeddings, clear_pictures, kept_pictures
from rtd_adapters.evaluation.rows import Mapped
from rtd_adapters.evaluation.shards import Shards
from rtd_adapters.io import atomic

IDS = tuple(f"{number:02}" for number in range(11))


@pytest.fixture(scope="module")
def backbone():
    return load_backbone()


@pytest.fixture
def photos(tmp_path):
    """Eleven JPEGs of noise in a folder, of many sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number, name in enumerate(IDS):
        noise = draw.integers(0, 256, (70 + 9 * number, 150 - 7 * number, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{name}.jpg", quality=90)
    return folder


@pytest.fixture
def pictures(backbone, photos, tmp_path):
    """Those, as the built-in world's tower sees them, four at a time."""

    def file(image):
        return photos / f"{image}.jpg"

    benchmark = Benchmark(
        "b", "val", (), lambda image: image_at(file(image)), lambda *_: {}, image_file=file
    )
    return Pictures(backbone, benchmark, "clip", 4, tmp_path / "kept", quiet=True)


def plainly(backbone, photos, batch_size=4):
    """Batch by batch, by the library alone."""
    pixels = [backbone.preprocess(image_at(photos / f"{name}.jpg")) for name in IDS]
    with torch.no_grad():
        rows = [backbone.model.encode_image(part) for part in torch.stack(pixels).split(batch_size)]
    return torch.cat(rows)


def embedded(pictures, ids=IDS):
    """All of them, as a run of its own has them."""
    return replace(pictures, held={}).embeddings(ids)[:]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_they_are_the_librarys_bit_for_bit_whoever_reads(workers, pictures, backbone, photos):
    found = embedded(replace(pictures, workers=workers))
    assert torch.equal(found, plainly(backbone, photos))
    assert found.dtype == torch.float32


def test_states_are_the_towers_own(pictures, backbone, photos):
    pixels = torch.stack([backbone.preprocess(image_at(photos / f"{n}.jpg")) for n in IDS[:3]])
    with torch.no_grad():
        own = image_states(backbone.model, pixels)
    found = pictures.states(IDS[:3])
    assert torch.equal(found.tokens, own.tokens)
    assert torch.equal(found.embedding, own.embedding)


def test_reading_draws_none_of_the_runs_random_numbers(pictures):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    embedded(replace(pictures, workers=1), IDS[:2])
    assert torch.equal(torch.get_rng_state(), before)


# Faults


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_a_broken_picture_is_named_and_what_came_before_is_kept(
    workers, fault, pictures, photos, monkeypatch
):
    monkeypatch.setattr(shards, "LONGEST", 4)
    path = photos / "06.jpg"
    whole = path.read_bytes()
    path.unlink() if fault == "missing" else path.write_bytes(whole[: len(whole) // 2])
    made = replace(pictures, workers=workers)
    with pytest.raises(FileError) as caught:
        embedded(made)
    assert str(caught.value).startswith(f"{path} cannot be read as a picture")
    assert "Traceback" not in str(caught.value)
    assert [shard.suffix for shard in made.folder.iterdir()] == [".shard"]
    left = embedded(replace(made, skip_broken=True))
    assert left.isnan().any(1).nonzero().flatten().tolist() == [6]
    assert left.isnan().all(1).sum() == 1
    with pytest.raises(FileError, match=r"06\.jpg cannot be read as a picture"):
        embedded(made)


@pytest.mark.parametrize("skip_broken", [True, False])
def test_a_picture_that_was_left_out_and_can_be_read_by_now_is_there(
    skip_broken, pictures, backbone, photos
):
    own = pictures.benchmark.open_image
    trouble = {"03", "07"}

    def open_image(image):
        if image in trouble:
            raise FileError(f"{image} is out of reach")
        return own(image)

    benchmark = replace(pictures.benchmark, open_image=open_image, image_file=None)
    made = replace(pictures, benchmark=benchmark, skip_broken=True)
    assert embedded(made).isnan().any(1).nonzero().flatten().tolist() == [3, 7]
    trouble.clear()
    made = replace(made, skip_broken=skip_broken)
    assert replace(made, held={}).extract(IDS, Processes()) == []
    found = embedded(made)
    torch.testing.assert_close(found, plainly(backbone, photos), atol=1e-5, rtol=0)


def test_a_worker_that_dies_is_told_of(pictures):
    ours = os.getpid()

    def open_image(image):
        if os.getpid() != ours:
            os._exit(3)
        return Image.new("RGB", (64, 64))

    made = replace(
        pictures, benchmark=replace(pictures.benchmark, open_image=open_image), folder=None
    )
    with pytest.raises(EvaluationError, match=r"a process that reads pictures died .*--workers 0"):
        embedded(replace(made, workers=1))
    assert embedded(replace(made, workers=0)).isfinite().all()


def test_other_errors_of_opening_stay_what_they_are(pictures):
    def open_image(image):
        raise RuntimeError("mine")

    made = replace(pictures, benchmark=replace(pictures.benchmark, open_image=open_image))
    with pytest.raises(RuntimeError, match="mine"):
        embedded(made)


def test_workers_need_a_system_that_forks(pictures, monkeypatch):
    monkeypatch.setattr(loading.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(UsageError, match="Pass --workers 0"):
        embedded(replace(pictures, workers=1))


def test_an_embedding_that_is_not_finite_is_an_error(pictures, backbone, monkeypatch):
    def seen(model, pixels):
        rows = torch.zeros(len(pixels), backbone.shape.embed_dim)
        rows[1, 5] = torch.inf
        return rows

    monkeypatch.setattr("rtd_adapters.evaluation.image_tower.image_embeddings", seen)
    with pytest.raises(EvaluationError, match=r"no finite embedding of the picture '01' .*bf16"):
        embedded(replace(pictures, precision="fp16"))


# Precision and memory


def test_half_precision_is_another_result_kept_in_fp32_beside_the_first(pictures):
    exact = embedded(pictures)
    half = embedded(replace(pictures, precision="bf16"))
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    assert torch.cosine_similarity(half, exact).min() > 0.99
    assert len(list(pictures.folder.iterdir())) == 2
    assert torch.equal(embedded(pictures), exact)


class Narrow(torch.nn.Module):
    """A tower whose memory does for a few pictures."""

    def __init__(self, room):
        super().__init__()
        self.room, self.weight, self.sizes = room, torch.nn.Parameter(torch.ones(1)), []

    def encode_image(self, pixels):
        if len(pixels) > self.room:
            raise torch.cuda.OutOfMemoryError("none left")
        self.sizes.append(len(pixels))
        return pixels.flatten(1)[:, :3] * self.weight


def test_without_memory_the_batch_is_halved_and_that_is_said_once():
    tower, pixels = ImageTower(Narrow(3)), torch.randn(12, 3, 2, 2)
    with pytest.warns(UserWarning, match=r"12 pictures at a time; .* on with 3\. --batch-size 3"):
        first = tower.embeddings(pixels)
    assert torch.equal(first, pixels.flatten(1)[:, :3])
    assert tower.model.sizes == [3] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tower.embeddings(pixels[:7])
    assert tower.model.sizes[4:] == [3, 3, 1]


def test_a_single_picture_that_does_not_fit_is_an_error():
    with pytest.raises(EvaluationError, match="no memory for a single picture"):
        ImageTower(Narrow(0)).embeddings(torch.randn(2, 3, 2, 2))


# Shards


@pytest.fixture
def killed(pictures, monkeypatch):
    """A run that ended before the ninth picture, and whether pictures were opened since."""
    monkeypatch.setattr(shards, "LONGEST", 5)  # shards of one batch, which are whole
    opened, own = [], pictures.benchmark.open_image

    def open_image(image):
        if image == "08" and "08" not in opened:
            opened.append(image)
            raise KeyboardInterrupt
        opened.append(image)
        return own(image)

    made = replace(pictures, benchmark=replace(pictures.benchmark, open_image=open_image))
    with pytest.raises(KeyboardInterrupt):
        embedded(made)
    opened[:] = ["08"]
    return made, opened


def test_a_killed_run_goes_on_at_its_shards(killed, backbone, photos, monkeypatch):
    made, opened = killed
    assert len(list(made.folder.glob("*.shard"))) == 2
    monkeypatch.setenv("RTD_CACHE", str(made.folder.parent))
    made.folder.rename(made.folder.with_name("pictures"))
    made = replace(made, folder=made.folder.with_name("pictures"))
    about = kept_pictures()
    assert (about.lists, about.unfinished) == (0, 1)
    assert about.megabytes == sum(p.stat().st_size for p in made.folder.iterdir()) / 1e6
    assert torch.equal(embedded(made), plainly(backbone, photos))
    assert opened[1:] == ["08", "09", "10"]
    (path,) = made.folder.iterdir()
    assert path.suffix == ".safetensors"
    about = kept_pictures()
    assert (about.lists, about.unfinished) == (1, 0)
    (made.folder / "mine.txt").touch()
    (made.folder / f".{path.name}.{atomic._host()}-{10**9}-gone.part").touch()
    live = made.folder / f".{path.name}.{atomic._host()}-{os.getpid()}-live.part"
    live.touch()
    assert clear_pictures() == about.megabytes > 0
    assert sorted(left.name for left in made.folder.iterdir()) == [live.name, "mine.txt"]


def test_shards_that_were_left_beside_the_whole_go(killed):
    made, _ = killed
    left = {path: path.read_bytes() for path in made.folder.iterdir()}
    embedded(made)
    for path, content in left.items():
        path.write_bytes(content)
    embedded(made)
    assert [path.suffix for path in made.folder.iterdir()] == [".safetensors"]


def test_a_damaged_shard_is_said_and_computed_again(killed, backbone, photos):
    made, opened = killed
    path = min(made.folder.glob("*.shard"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=f"{path.name} does not hold what was written there"):
        assert torch.equal(embedded(made), plainly(backbone, photos))
    assert opened[1:] == ["00", "01", "02", "03", "08", "09", "10"]


def test_a_bar_counts_pictures_from_where_the_last_run_ended(killed, monkeypatch):
    made, _ = killed
    bars = []

    def bar(**options):
        bars.append((options, tqdm(**options | {"disable": True})))
        bars[-1][1].update = counted.append
        return bars[-1][1]

    counted = []
    monkeypatch.setattr(shards, "tqdm", bar)
    embedded(replace(made, quiet=False))
    ((options, _),) = bars
    assert {name: options[name] for name in ("initial", "total", "unit", "disable")} == {
        "initial": 8,
        "total": 11,
        "unit": " pictures",
        "disable": None,
    }
    assert sum(counted) == 3


@pytest.mark.parametrize("keeps", [True, False])
def test_the_second_of_two_processes_embeds_its_share_of_each_shard_and_writes_nothing(
    keeps, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "LONGEST", 5)
    asked, sent = [], []

    class Second(Processes):
        def from_first(self, tensor):
            """The first process finds no shard, and the list's file after the first round."""
            return torch.tensor([len(sent)]) if len(tensor) == 1 else torch.zeros_like(tensor)

        def gather(self, mine, length):
            sent.append(mine)
            return torch.cat([torch.full((length - len(mine), *mine.shape[1:]), -1.0), mine])

    def embed(batches):
        asked.extend(batches)
        return [torch.tensor(batch)[:, None].float() for batch in batches]

    kept = KeptEmbeddings(tmp_path / "kept", "key", (11, 1)) if keeps else None
    split = Shards((11, 1), 2, kept, Second(1, 2), torch.device("cpu"), quiet=True)
    found = split.embeddings(embed)
    assert asked == [range(2, 4), range(6, 8), range(10, 11)]
    assert [rows.flatten().tolist() for rows in sent] == [[2, 3], [6, 7], [10, 0]]
    assert not (tmp_path / "kept").exists()
    if keeps:
        assert found is None  # it reads nothing either
    else:
        assert found.flatten().tolist() == [-1, -1, 2, 3, -1, -1, 6, 7, -1, -1, 10]


def test_the_second_of_two_processes_hears_what_is_left_out_and_holds_nothing(pictures, photos):
    (photos / "06.jpg").write_bytes(b"no picture")
    made = replace(pictures, skip_broken=True)
    embedded(made)
    sent = []

    class First(Processes):
        def from_first(self, tensor):
            sent.append(tensor)
            return tensor

    class Second(Processes):
        def from_first(self, tensor):
            first = sent.pop(0)
            assert (tensor.shape, tensor.dtype) == (first.shape, first.dtype)
            return first

    assert replace(made, held={}).extract(IDS, First(0, 2)) == [6]
    second = replace(made, held={}, folder=made.folder / "of its own")
    assert second.extract(IDS, Second(1, 2)) == [6]
    assert not (sent or second.held or second.folder.exists())


def test_what_is_not_kept_on_disk_is_held(pictures):
    held = replace(pictures, folder=None)
    first = held.embeddings(IDS)
    assert held.embeddings(IDS) is first
    assert not pictures.folder.exists()


def test_what_is_kept_is_mapped_and_checked_once_a_run(pictures, monkeypatch):
    first = pictures.embeddings(IDS)
    assert isinstance(first, Mapped)
    assert not first.file.flags.writeable
    clear_away(pictures.folder)
    assert pictures.embeddings(IDS) is first
    assert torch.equal(first[[10, 0, 10]], embedded(replace(pictures, folder=None))[[10, 0, 10]])


def clear_away(folder):
    """As `rtd cache clear` does."""
    for path in folder.iterdir():
        path.unlink()


def test_a_cache_that_is_cleared_meanwhile_does_not_end_a_run(
    pictures, backbone, photos, monkeypatch
):
    monkeypatch.setattr(shards, "LONGEST", 5)
    cleared, own = [], pictures.benchmark.open_image

    def open_image(image):
        if image == "08" and not cleared:
            cleared.extend(pictures.folder.iterdir())
            clear_away(pictures.folder)
        return own(image)

    made = replace(pictures, benchmark=replace(pictures.benchmark, open_image=open_image))
    assert torch.equal(embedded(made), plainly(backbone, photos))
    assert len(cleared) == 2
    assert [path.suffix for path in made.folder.iterdir()] == [".safetensors"]


def test_a_disk_that_keeps_nothing_is_an_error(pictures, monkeypatch):
    own = KeptEmbeddings.keep_shard

    def keep_shard(kept, part, rows):
        own(kept, part, rows)
        clear_away(kept.folder)

    monkeypatch.setattr(KeptEmbeddings, "keep_shard", keep_shard)
    with pytest.raises(FileError, match=r"kept does not keep .* pass --no-cache"):
        embedded(pictures)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_list_larger_than_memory_is_embedded_merged_and_searched():
    """96 MB of embeddings in a process that may take 75 MB more than its imports."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[70000]", "99999", "3"]


LARGE = """
import pathlib, resource, tempfile
import torch
from rtd_adapters.compute.processes import Processes
from rtd_adapters.evaluation import blocks
from rtd_adapters.evaluation.kept import KeptEmbeddings
from rtd_adapters.evaluation.rows import lost_rows, replaced
from rtd_adapters.evaluation.shards import Shards

SHAPE = 120_000, 200

def embed(batches):
    for batch in batches:
        rows = torch.full((len(batch), SHAPE[1]), -1.0)
        for place, value in ((3, 1.0), (70_000, torch.nan), (99_999, 1.0)):
            if place in batch:
                rows[batch.index(place)] = value
                rows[batch.index(place), 0] = place != 3
        yield rows

torch.ones(64, 64) @ torch.ones(64, 64)
(taken,) = [l for l in pathlib.Path("/proc/self/status").read_text().splitlines() if "VmData" in l]
most = int(taken.split()[1]) * 1024 + 75_000_000
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
with tempfile.TemporaryDirectory() as folder:
    kept = KeptEmbeddings(pathlib.Path(folder), "key", SHAPE)
    shards = Shards(SHAPE, 64, kept, Processes(), torch.device("cpu"), quiet=True)
    rows = shards.embeddings(embed)
    print(lost_rows(rows))
    sound = replaced(rows, torch.tensor([70_000]), -torch.ones(1, SHAPE[1]))
    blocks.PICTURES = 1000
    asked = [blocks.Question(wanted=[5])] * 4
    found = blocks.search_blocks(torch.ones(4, SHAPE[1]), sound, asked, 2)
    print(*found.places[0].tolist())
"""


# Broken pictures left out


QUERIES = (
    EvalQuery("sound", "a", ("x",), ("b", "c"), group=("b", "c"), excluded=("a",)),
    EvalQuery("without reference", "c", ("x",), ("b",)),
    EvalQuery("without answer", "a", ("x",), ("c",)),
    EvalQuery("one answer less", "b", ("x",), ("c", "d", "a")),
)


def bench(*queries, part=""):
    parts = (Part(part, ("a", "b", "c", "d"), queries),)
    return Benchmark("b", "val", parts, lambda image: None, lambda *_: {}, {"joined": "by and"})


def test_queries_lose_broken_pictures_or_go():
    found = without(bench(*QUERIES), ["c"])
    first, second = found.parts[0].queries
    assert first == replace(QUERIES[0], targets=("b",), group=("b",), excluded=("a", "c"))
    assert second == replace(QUERIES[3], targets=("d", "a"), excluded=("c",))
    assert found.parts[0].gallery == ("a", "b", "c", "d")
    lost = {"pictures": 1, "queries": 2, "first": ["c"]}
    assert found.settings == {"joined": "by and", "left_out": lost}
    assert left_out_note(found) == (
        "left out: 1 pictures that cannot be read (c), and 2 queries with them"
    )
    assert left_out_note(bench(*QUERIES)) is None


def test_queries_whose_answers_a_server_keeps_stay():
    (query,) = without(bench(EvalQuery("q", "a", ("x",), ())), ["c"]).parts[0].queries
    assert query.excluded == ("c",)


def test_a_part_without_queries_is_an_error():
    with pytest.raises(EvaluationError, match="no query of dress is left"):
        without(bench(QUERIES[1], part="dress"), ["c"])


def test_the_first_five_are_named():
    found = without(bench(QUERIES[0]), list("cdefgh"))
    assert found.settings["left_out"]["first"] == list("cdefg")
    assert "6 pictures that cannot be read (c, d, e, f, g, ...), and 0" in left_out_note(found)
