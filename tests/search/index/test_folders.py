"""A folder of pictures indexed, changed, and indexed again."""

import io
import json
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lancedb", reason="the extra `search` is not installed")

from rtd_adapters.clip.backbones import load_backbone
from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.evaluation.pictures import embed_pictures
from rtd_adapters.jobs.index import IndexJob, index_place, run_index
from rtd_adapters.search.index import Index, archives
from rtd_adapters.search.index.building import Looking


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    for n in range(6):
        save(folder / f"day {n % 2}" / f"{n}.jpg", picture(n))
    return folder


def picture(seed, size=(40, 30)):
    noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size)


def data(seed, kind="JPEG"):
    file = io.BytesIO()
    picture(seed).save(file, kind)
    return file.getvalue()


def save(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)


def indexed(folder, **how):
    out = folder.parent / "index"
    return run_index(IndexJob(str(folder), out, backbone="demo", how=Looking(**how))), out


def ids(out):
    return sorted(entry.id for entry in Index.open(out).page(0, 10_000))


def reasons(report):
    return {one.id: one.reason for one in report.broken}


def test_new_changed_and_gone(folder):
    first, out = indexed(folder)
    assert (first.new, first.changed, first.gone, first.count) == (6, 0, 0, 6)
    again, _ = indexed(folder)
    assert (again.new, again.changed, again.gone, again.count) == (0, 0, 0, 6)

    save(folder / "day 0" / "0.jpg", picture(100))
    os.utime(folder / "day 0" / "0.jpg", ns=(1, 1))  # whatever the clock's grain
    save(folder / "new.png", picture(101))
    (folder / "day 1" / "1.jpg").unlink()
    (folder / "day 1" / "3.jpg").write_bytes(b"no picture any more")
    second, _ = indexed(folder)
    assert (second.new, second.changed, second.gone, second.count) == (1, 1, 1, 5)
    assert set(reasons(second)) == {"day 1/3.jpg"}
    assert ids(out) == ["day 0/0.jpg", "day 0/2.jpg", "day 0/4.jpg", "day 1/5.jpg", "new.png"]

    shutil.rmtree(out)
    indexed(folder)
    fresh = Index.open(out).embeddings(ids(out))
    expected = embed_pictures(load_backbone("demo"), [opened(folder / i) for i in ids(out)])
    np.testing.assert_allclose(fresh, expected.numpy(), atol=1e-5)


def opened(path):
    return Image.open(path).convert("RGB")


def test_incremental_contents_are_those_of_a_fresh_index(folder, tmp_path):
    _, out = indexed(folder)
    save(folder / "day 0" / "0.jpg", picture(100), quality=30)
    save(folder / "z.webp", picture(7))
    indexed(folder)
    known = Index.open(out)
    run_index(IndexJob(str(folder), tmp_path / "fresh", backbone="demo"))
    fresh = Index.open(tmp_path / "fresh")
    assert ids(out) == ids(tmp_path / "fresh")
    np.testing.assert_allclose(
        known.embeddings(ids(out)), fresh.embeddings(ids(out)), rtol=1e-5, atol=1e-5
    )
    for id_ in ids(out):
        assert known.thumbnail(id_) == fresh.thumbnail(id_)
        assert known.entry(id_) == fresh.entry(id_)


def test_workers_see_the_same(folder, tmp_path):
    _, out = indexed(folder, batch_size=2)
    how = Looking(batch_size=2, workers=2)
    run_index(IndexJob(str(folder), tmp_path / "other", backbone="demo", how=how))
    one, other = Index.open(out), Index.open(tmp_path / "other")
    np.testing.assert_array_equal(one.embeddings(ids(out)), other.embeddings(ids(out)))


def test_broken_pictures_are_left_out_and_named(folder):
    (folder / "text.jpg").write_text("not a picture")
    (folder / "short.jpg").write_bytes(data(1)[:400])
    (folder / "empty.png").touch()
    save(folder / "narrow.png", Image.new("RGB", (1, 5000)))
    (folder / "outside.jpg").symlink_to(folder.parent / "secret.jpg")
    save(folder.parent / "secret.jpg", picture(0))
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "postscript.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (folder / "notes.txt").write_text("passed over")
    report, out = indexed(folder)
    assert report.count == len(ids(out)) == 6
    broken = reasons(report)
    assert sorted(broken) == [
        "dangling.jpg",
        "empty.png",
        "narrow.png",
        "outside.jpg",
        "postscript.jpg",
        "short.jpg",
        "text.jpg",
    ]
    assert "too narrow" in broken["narrow.png"]
    assert "leads out of" in broken["outside.jpg"]
    again, _ = indexed(folder)
    assert reasons(again) == broken


def test_pictures_are_upright(folder):
    turned = Image.new("RGB", (40, 20), "red")
    turned.paste("blue", (20, 0, 40, 20))
    exif = turned.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
    save(folder / "turned.jpg", turned, exif=exif, quality=95)
    _, out = indexed(folder)
    index = Index.open(out)
    entry = index.entry("turned.jpg")
    assert (entry.width, entry.height) == (20, 40)
    assert entry.path == str(folder.resolve() / "turned.jpg")
    for shown in (
        index.open_picture("turned.jpg"),
        Image.open(io.BytesIO(index.thumbnail(entry.id))),
    ):
        assert shown.size == (20, 40)
        assert shown.getpixel((10, 5))[0] > 200  # red above
        assert shown.getpixel((10, 35))[2] > 200


def test_thumbnails_are_small(folder):
    save(folder / "large.png", picture(3, (1000, 400)))
    _, out = indexed(folder)
    small = Image.open(io.BytesIO(Index.open(out).thumbnail("large.png")))
    assert (small.format, small.size) == ("JPEG", (256, 102))


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def tarred(path, members, mode="w"):
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            file.addfile(about, io.BytesIO(content))


@pytest.mark.parametrize("name", ["a.zip", "b.TAR", "c.tar.gz", "d.tar.xz"])
def test_pictures_in_archives_are_those_in_folders(folder, name):
    members = {f"trip/{n}.jpg": data(n) for n in range(3)}
    members |= {"trip/readme.txt": b"x", "__MACOSX/._0.jpg": b"x", "inner.zip": b"PK"}
    if name.endswith("zip"):
        zipped(folder / name, members)
    else:
        kind = {"b.TAR": "w", "c.tar.gz": "w:gz", "d.tar.xz": "w:xz"}[name]
        tarred(folder / name, members, kind)
    for n in range(3):
        (folder / f"loose{n}.jpg").write_bytes(members[f"trip/{n}.jpg"])
    report, out = indexed(folder, workers=2, batch_size=2)
    assert not report.broken
    index = Index.open(out)
    inside = [f"{name}/trip/{n}.jpg" for n in range(3)]
    assert [i for i in ids(out) if i.startswith(name)] == inside
    loose = index.embeddings([f"loose{n}.jpg" for n in range(3)])
    np.testing.assert_allclose(index.embeddings(inside), loose, atol=1e-5)
    for n in (2, 0, 1):
        expected = Image.open(folder / f"loose{n}.jpg").convert("RGB")
        assert index.open_picture(inside[n]).tobytes() == expected.tobytes()
    assert indexed(folder)[0].new == 0
    (folder / name).unlink()
    assert indexed(folder)[0].gone == 3


def test_an_archive_packed_again_is_not_embedded_again(folder):
    zipped(folder / "a.zip", {"0.jpg": data(0), "1.jpg": data(1)})
    indexed(folder)
    zipped(folder / "a.zip", {"2.jpg": data(2), "1.jpg": data(1), "0.jpg": data(9)})
    report, _ = indexed(folder)
    assert (report.new, report.changed, report.gone) == (1, 1, 0)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_paths_that_leave_an_archive_are_refused(folder, pack):
    name = "evil.zip" if pack is zipped else "evil.tar"
    pack(folder / name, {"../out.jpg": data(0), "/root.jpg": data(1), "a/../../x.jpg": data(2)})
    report, out = indexed(folder)
    assert report.count == 6
    assert len(report.broken) == 3
    assert all("leads out of the archive" in one.reason for one in report.broken)
    with pytest.raises(FileError, match="not in the index"):
        Index.open(out).open_picture(f"{name}/../out.jpg")
    assert not (folder / "out.jpg").exists()
    assert not (folder.parent / "out.jpg").exists()


def test_bombs_are_passed_over(folder, monkeypatch):
    monkeypatch.setattr(archives, "SPARED", 1 << 20)
    monkeypatch.setattr(archives, "LARGEST", 3 << 20)
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for n in range(5):
            file.writestr(f"{n}.bmp", bytes(2 << 20))
    with tarfile.open(folder / "bomb.tar.gz", "w:gz") as file:
        for n in range(5):
            about = tarfile.TarInfo(f"{n}.bmp")
            about.size = 2 << 20
            file.addfile(about, io.BytesIO(bytes(about.size)))
    zipped(folder / "large.zip", {"large.jpg": bytes(4 << 20), "0.jpg": data(0)})
    (folder / "broken.zip").write_bytes(b"PK nothing")
    (folder / "broken.tar").write_bytes(b"nothing" * 1000)
    report, out = indexed(folder)
    broken = reasons(report)
    assert set(broken) == {
        "bomb.zip",
        "bomb.tar.gz",
        "large.zip/large.jpg",
        "broken.zip",
        "broken.tar",
    }
    assert "100 times its size" in broken["bomb.zip"]
    assert "100 times its size" in broken["bomb.tar.gz"]
    assert "large.zip/0.jpg" in ids(out)


def test_a_member_that_says_less_than_it_holds(folder):
    zipped(folder / "liar.zip", {"0.bmp": bytes(1 << 20), "1.jpg": data(1)})
    path = folder / "liar.zip"
    sizes = (1 << 20).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(sizes, (100).to_bytes(4, "little")))
    report, out = indexed(folder)
    assert "liar.zip/0.bmp" in reasons(report)
    assert "liar.zip/1.jpg" in ids(out)


def test_another_backbone_is_refused_and_both_are_named(folder):
    _, out = indexed(folder)
    with pytest.raises(UsageError, match="was made with demo, and demo-resnet sees"):
        run_index(IndexJob(str(folder), out, backbone="demo-resnet"))
    with pytest.raises(UsageError, match="--preprocess clip"):
        run_index(IndexJob(str(folder), out, how=Looking(preprocess="targetpad")))
    with pytest.raises(FileError, match=r"is the index of .*pictures, not of"):
        run_index(IndexJob(str(folder.parent), out))
    assert run_index(IndexJob(str(folder), out)).count == 6  # by its own backbone


def test_what_is_missing_is_said(folder, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="--backbone is missing"):
        run_index(IndexJob(str(folder), tmp_path / "out"))
    with pytest.raises(UsageError, match="--out is missing"):
        run_index(IndexJob(str(folder), backbone="demo"))
    with pytest.raises(FileError, match="is no folder"):
        run_index(IndexJob(str(tmp_path / "none"), tmp_path / "out", backbone="demo"))
    (tmp_path / "bare").mkdir()
    with pytest.raises(FileError, match="holds no pictures"):
        run_index(IndexJob(str(tmp_path / "bare"), tmp_path / "out", backbone="demo"))
    with pytest.raises(FileError, match="holds no index"):
        Index.open(tmp_path / "bare")
    monkeypatch.setenv("RTD_CACHE", str(tmp_path))
    assert index_place("demo") == tmp_path / "index" / "demo"
    with pytest.raises(UsageError, match="two places"):
        index_place("demo", tmp_path, "postgresql://x/y")


def test_an_emptied_folder_empties_no_index(folder):
    _, out = indexed(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(FileError, match="holds no pictures"):
        indexed(folder)
    assert len(ids(out)) == 6


def test_open_picture_tells_when_the_original_is_gone(folder):
    _, out = indexed(folder)
    (folder / "day 0" / "0.jpg").unlink()
    index = Index.open(out)
    assert index.thumbnail("day 0/0.jpg")
    with pytest.raises(FileError, match=r"day 0/0\.jpg cannot be read"):
        index.open_picture("day 0/0.jpg")


def test_the_card(folder):
    _, out = indexed(folder)
    card = Index.open(out).card
    assert (card.backbone, card.pretrained, card.label) == ("demo", None, "demo")
    assert (card.count, card.embed_dim, card.preprocess) == (6, 128, "clip")
    assert card.source == str(folder.resolve())
    assert json.loads((out / "index.json").read_text())["image_fingerprint"] == (
        card.image_fingerprint
    )
