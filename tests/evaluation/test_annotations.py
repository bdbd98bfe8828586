"""Annotation files that lie: what is wrong is named, with its file and its entry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtd_adapters.errors import FileError
from rtd_adapters.evaluation.annotations import inside, require_distinct, require_known
from rtd_adapters.evaluation.benchmark import (
    BenchmarkSource,
    EvalQuery,
    Part,
    load_benchmark,
)

CIRR = ("cirr/captions/cap.rc2.val.json", "cirr/image_splits/split.rc2.val.json")
CIRCO = ("annotations/val.json", "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json")
FASHION = ("captions/cap.shirt.val.json", "image_splits/split.shirt.val.json")
GENECIS = "genecis/focus_attribute.json"
LASCO = ("lasco_val.json", "lasco_val_corpus.json")
LISTS = {
    "cirr": (CIRR[0],),
    "circo": (CIRCO[0],),
    "fashioniq": FASHION,
    "genecis-focus-attribute": (GENECIS,),
    "lasco": LASCO,
}


@pytest.fixture
def copied(benchmark_folder, tmp_path):
    """A benchmark's folder, to be damaged."""

    def make(name: str) -> Path:
        return Path(shutil.copytree(benchmark_folder(name), tmp_path / name))

    return make


def change(path: Path, changed) -> None:
    """Read JSON, let it be changed in place or replaced, and write it."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(changed(content) or content))


def refused(name: str, root: Path, *words: str) -> None:
    with pytest.raises(FileError) as caught:
        load_benchmark(name, root)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("name", "file"), [(n, f) for n, files in LISTS.items() for f in files])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"null", b"[" * 100_000, b"[" + b"9" * 6000 + b"]", b'"\\ud800"', b"\xff"],
    ids=["empty", "empty list", "object", "null", "deep", "digits", "surrogate", "bytes"],
)
def test_a_file_that_is_no_list_of_entries(name, file, content, copied):
    root = copied(name)
    (root / file).write_bytes(content)
    refused(name, root, Path(file).stem.partition(".")[0])


def entry(number, **fields):
    """A change of one entry; a field that is None goes."""

    def changed(entries):
        for field, value in fields.items():
            if value is None:
                del entries[number][field]
            else:
                entries[number][field] = value

    return changed


@pytest.mark.parametrize(
    ("name", "file", "changed", "word"),
    [
        ("cirr", CIRR[0], entry(3, caption=None), "'caption' is missing"),
        ("cirr", CIRR[0], entry(3, caption=5), "'caption' is a number, where a text belongs"),
        ("cirr", CIRR[0], entry(3, caption="\ud800"), "half a character"),
        ("cirr", CIRR[0], entry(3, pairid=[1]), "'pairid' is a list"),
        ("cirr", CIRR[0], entry(3, img_set=[]), "where an object belongs"),
        ("cirr", CIRR[0], entry(3, img_set={"members": "abc"}), "'members' is a text"),
        ("cirr", CIRR[0], entry(3, target_hard=None), "'target_hard' is missing"),
        ("circo", CIRCO[0], entry(3, gt_img_ids=5), "'gt_img_ids' is a number"),
        ("circo", CIRCO[0], entry(3, reference_img_id=True), "is a truth value"),
        ("fashioniq", FASHION[0], entry(3, captions=["one"]), "1 captions, where two belong"),
        ("fashioniq", FASHION[0], entry(3, captions=["one", 2]), "'captions' is a number"),
        ("genecis-focus-attribute", GENECIS, entry(3, target={}), "'image_id' is missing"),
        ("genecis-focus-attribute", GENECIS, entry(3, target={"image_id": "../1"}), "'../1'"),
        (
            "genecis-focus-attribute",
            GENECIS,
            entry(3, target={"image_id": 1, "instance_bbox": [1, 2, 3]}),
            "no x, y, width and height",
        ),
        (
            "genecis-focus-attribute",
            GENECIS,
            entry(3, target={"image_id": 1, "instance_bbox": [1, 2, 3, float("nan")]}),
            "'instance_bbox' is not between",
        ),
        ("lasco", LASCO[0], entry(3, qid=None), "'qid' is missing"),
        ("lasco", LASCO[0], entry(3, **{"query-text": 5}), "'query-text' is a number"),
        ("lasco", LASCO[0], entry(3, **{"query-image": None}), "'query-image' is missing"),
        ("lasco", LASCO[0], entry(3, **{"query-image": 42}), "'query-image' is a number"),
        ("lasco", LASCO[0], entry(3, **{"target-image": [42]}), "'target-image' has 1 parts"),
        ("lasco", LASCO[0], entry(3, **{"target-image": [42, {}]}), "'target-image' is an empty"),
        ("lasco", LASCO[0], entry(3, **{"query-image": ["../1", "x"]}), "'../1', no picture's"),
        ("lasco", LASCO[1], entry(3, id=4.5), "'id' is a number, where a text or a whole"),
        ("lasco", LASCO[1], entry(3, id=-9), "'id' is '-9', no picture's number"),
        ("lasco", LASCO[1], entry(3, id=10**18), "no picture's number"),
        ("lasco", LASCO[1], entry(3, path=9), "'path' is a number"),
    ],
)
def test_a_field_of_another_kind_is_named_with_its_entry(name, file, changed, word, copied):
    root = copied(name)
    change(root / file, changed)
    refused(name, root, f"{root / file}, entry 3", word)


def test_ids_that_do_not_belong_together_are_named(copied):
    root = copied("cirr")
    change(root / CIRR[0], entry(0, target_hard="elsewhere"))
    refused("cirr", root, "lacks targets", "elsewhere")
    change(root / CIRR[0], entry(0, target_hard="dev-1-0-img0", reference="nowhere"))
    refused("cirr", root, "lacks references", "nowhere")
    change(root / CIRR[1], lambda paths: paths.clear())
    refused("cirr", root, CIRR[1], "lacks references", "dev-10-0-img0")
    root = copied("fashioniq")
    change(root / FASHION[1], lambda names: names.append(names[4]))
    refused("fashioniq", root, "fashioniq shirt", "more than once: S00004")
    root = copied("circo")
    change(root / CIRCO[1], lambda info: info["images"].append(info["images"][2]))
    refused("circo", root, "more than once: 102")


@pytest.mark.parametrize("path", ["../secret.png", "dev/../../secret.png", "ABSOLUTE", "", "a\0b"])
def test_cirr_follows_no_path_out_of_its_folder(path, copied, tmp_path):
    root = copied("cirr")
    secret = tmp_path / "secret.png"
    shutil.copy(root / "dev/dev-7-0-img0.png", secret)
    leading = str(secret) if path == "ABSOLUTE" else path
    change(root / CIRR[1], lambda paths: paths.update({"dev-7-0-img0": leading}))
    refused("cirr", root, f"{CIRR[1]}, 'dev-7-0-img0'", "no path within the data folder")


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/passwd"])
def test_no_other_benchmark_does(path, copied):
    root = copied("circo")
    change(root / CIRCO[1], lambda info: info["images"][2].update(file_name=path))
    refused("circo", root, "'images', entry 2", repr(path), "no path within")
    root = copied("fashioniq")
    change(root / FASHION[0], entry(2, candidate=path))
    refused("fashioniq", root, f"{FASHION[0]}, entry 2", repr(path), "no path within")
    change(root / FASHION[0], entry(2, candidate="S00002"))
    change(root / FASHION[1], lambda names: names.append(path))
    refused("fashioniq", root, FASHION[1], repr(path), "no path within")
    root = copied("imagenet-r")
    file = root / "imgnet/imgnet_targets.txt"
    file.write_text(f"{file.read_text()}{path} 3\n")
    refused("imagenet-r", root, "imgnet_targets.txt, line 61", repr(path), "no path within")
    root = copied("coco-composition")
    with (root / "coco_eval.csv").open("a") as table:
        table.write(f"{path},4;6;50;60,bus,dog\n")
    refused("coco-composition", root, "coco_eval.csv, line 62", repr(path), "no path within")


def test_links_within_the_folder_may_lead_anywhere(copied, tmp_path):
    root = copied("cirr")
    (root / "dev").rename(tmp_path / "elsewhere")
    (root / "dev").symlink_to(tmp_path / "elsewhere")
    load_benchmark("cirr", root).open_image("dev-7-0-img0")
    assert inside(root, "./dev/a.png", "here") == root / "dev/a.png"


def test_no_path_is_longer_than_a_disk_takes():
    """A name has 240 bytes at most and a path 1,000; four folders of 199 leave a name 200."""
    folders = f"{'f' * 199}/" * 4
    for name in ("a" * 240, "\u00e9" * 120, folders + "a" * 200):
        assert inside(Path("root"), name, "here") == Path("root") / name
    for name in ("a" * 241, "\u00e9" * 120 + "a", folders + "a" * 201):
        with pytest.raises(FileError, match="here names") as caught:
            inside(Path("root"), name, "here")
        assert f"names {name[:200]!r}, which" in str(caught.value)


def test_the_first_five_are_named():
    def said(ids):
        with pytest.raises(FileError) as caught:
            require_known(ids, ["known"], "it lacks")
        return str(caught.value).partition(". ")[0]

    assert said("fedcbaa") == "it lacks a, b, c, d, e and 1 more"
    assert said("gfedcba") == "it lacks a, b, c, d, e and 2 more"
    assert said("edcba") == "it lacks a, b, c, d, e"
    assert said(["x" * 100]) == "it lacks " + "x" * 80
    require_known(["known"], ["known"], "it lacks")
    with pytest.raises(FileError, match=r"it has twice: a, b\. Fetch"):
        require_distinct("bcbaa", "it has twice:")
    require_distinct("abc", "it has twice:")


def test_long_texts_are_cut_in_messages(copied):
    root = copied("cirr")
    change(root / CIRR[1], lambda paths: paths.update({"n" * 90: "../x"}))
    refused("cirr", root, f"'{'n' * 80}' names '../x'")
    root = copied("genecis-focus-attribute")
    change(root / GENECIS, entry(3, target={"image_id": "x" * 50}))
    refused("genecis-focus-attribute", root, f"'image_id' is '{'x' * 40}', no picture")
    change(root / GENECIS, entry(3, target={"image_id": 1, "instance_bbox": [1] * 50}))
    shown = "[" + "1, " * 26 + "1"  # 80 signs
    refused("genecis-focus-attribute", root, f"'instance_bbox' is {shown}, no x")
    root = copied("imagenet-r")
    (root / "imgnet/imgnet_targets.txt").write_text("x" * 90)
    refused("imagenet-r", root, f"got '{'x' * 80}'.")


@pytest.mark.parametrize("which", ["imgnet_targets", "imgnet_real_query"])
def test_a_gallery_without_queries_and_queries_without_a_gallery(which, copied):
    root = copied("imagenet-r")
    (root / f"imgnet/{which}.txt").write_text("")
    refused("imagenet-r", root, "imagenet-r cartoon has no pictures or no queries")


def test_cirr_whose_pictures_are_elsewhere(copied):
    root = copied("cirr")
    shutil.rmtree(root / "dev")
    refused("cirr", root, "lacks dev/dev-0-0-img0.png")


@pytest.mark.parametrize(
    "region",
    ["-20000;6;9;9", "4;-20000;9;9", "4;6;20000;9", "4;6;9;20000", "4;6;4;9", "4;6;9;6"],
)
def test_regions_of_coco_lie_within_twenty_thousand_pixels(region, copied):
    root = copied("coco-composition")
    whole = (root / "coco_eval.csv").read_text()
    for fitting in ("-19999;6;9;9", "4;-19999;9;9", "4;6;19999;9", "4;6;9;19999", "4;6;5;7"):
        (root / "coco_eval.csv").write_text(f"{whole}x.jpg,{fitting},bus,dog\n")
        load_benchmark("coco-composition", root)
    (root / "coco_eval.csv").write_text(f"{whole}x.jpg,{region},bus,dog\n")
    refused("coco-composition", root, "line 62", "'query_regions' is no region of a picture")


@pytest.mark.parametrize(
    "row", ["x.jpg,4;6;50,bus,dog", "x.jpg,4;6;2;60,bus,dog", "x.jpg,4;6;1e999;60,bus,", "x.jpg"]
)
def test_rows_of_coco_that_name_no_region(row, copied):
    root = copied("coco-composition")
    with (root / "coco_eval.csv").open("a") as table:
        table.write(f"{row}\n")
    refused("coco-composition", root, "coco_eval.csv, line 62", "'query_regions'")


@pytest.mark.parametrize("label", ["9" * 6000, "\u00b2", "-1", "x"])
def test_labels_of_imagenet_that_are_none(label, copied):
    root = copied("imagenet-r")
    file = root / "imgnet/imgnet_real_query.txt"
    file.write_text(f"a.jpg {label}\n", encoding="utf-8")
    refused("imagenet-r", root, "imgnet_real_query.txt, line 1")
    file.write_bytes(b"\xff\xfe\x00")
    refused("imagenet-r", root, "imgnet_real_query.txt cannot be read")


def test_a_box_outside_its_picture(copied):
    root = copied("genecis-focus-attribute")
    outside = {"image_id": 1, "instance_bbox": [500, 2, 10, 10]}
    change(root / GENECIS, entry(3, target=outside))
    benchmark = load_benchmark("genecis-focus-attribute", root)
    with pytest.raises(FileError, match=r"1\.jpg is smaller than the annotations say"):
        benchmark.open_image(benchmark.parts[0].queries[3].targets[0])


def attribute(copied, box):
    """The task whose first target is a box in a picture of 90 x 70."""
    root = copied("genecis-focus-attribute")
    change(root / GENECIS, entry(0, target={"image_id": 1, "instance_bbox": box}))
    return root


@pytest.mark.parametrize("box", [[5, 5, 0.5, 9], [5, 5, 9, 0.5], [5, 5, 9, 9, 9]])
def test_a_box_of_less_than_a_pixel(box, copied):
    refused("genecis-focus-attribute", attribute(copied, box), "entry 0", "no x, y, width and")


@pytest.mark.parametrize(
    ("box", "fits"),
    [
        ([5, 0.5, 1, 1], True),
        ([96, 5, 10, 10], True),  # grown to the left it begins at 89
        ([97, 5, 10, 10], False),
        ([5, 76, 10, 10], True),
        ([5, 77, 10, 10], False),
    ],
)
def test_a_grown_box_begins_in_its_picture(box, fits, copied):
    benchmark = load_benchmark("genecis-focus-attribute", attribute(copied, box))
    target = benchmark.parts[0].queries[0].targets[0]
    if fits:
        assert max(benchmark.open_image(target).size) > 0
    else:
        with pytest.raises(FileError, match="smaller than the annotations say"):
            benchmark.open_image(target)


@pytest.mark.parametrize("number", ["9" * 19, "\u0661\u0662", "1.5", ""])
def test_what_is_no_pictures_number(number, copied):
    root = copied("genecis-focus-attribute")
    change(root / GENECIS, entry(3, target={"image_id": "9" * 18}))
    load_benchmark("genecis-focus-attribute", root)
    change(root / GENECIS, entry(3, target={"image_id": number}))
    refused("genecis-focus-attribute", root, "entry 3", "no picture's number")


def test_shares_of_several_right_answers(benchmark_folder):
    """Of ImageNet-R: three right answers, at places 1, 4 and 11; none; one."""
    score = load_benchmark("imagenet-r", benchmark_folder("imagenet-r")).score

    class Ranked:
        def top(self, depth):
            return [f"i{place}" for place in range(1, 301)][:depth]

    def of(*targets):
        return score(EvalQuery("q", "r", ("toy",), targets), Ranked())

    found = of("i1", "i4", "i11")
    assert [found[f"recall@{k}"] for k in (1, 5, 10, 50)] == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1])
    assert [found[f"precision@{k}"] for k in (1, 5, 10, 50)] == [1.0, 0.4, 0.2, 0.06]
    assert set(of().values()) == {0.0}
    assert of("i1")["recall@1"] == of("i200")["recall@200"] == 1.0
    assert of("i201")["recall@200"] == 0.0


def test_the_fixtures_are_whole(benchmark_folder):
    """Undamaged, all of these are read: what is refused above is refused for its damage."""
    for name in (*LISTS, "imagenet-r", "coco-composition", "coco-captions"):
        benchmark = load_benchmark(name, benchmark_folder(name))
        assert benchmark.image_file is not None
        assert benchmark.image_file(benchmark.parts[0].gallery[0]).is_file()


def rewritten(root: Path, file: str, line: int, text: str) -> None:
    """A line of a list is another."""
    rows = (root / file).read_text().splitlines()
    rows[line - 1] = text
    (root / file).write_text("\n".join(rows) + "\n")


TABLES = {
    "icir": ("icir/query_files.csv", ","),
    "freedom-nico": ("nico/query_files.csv", " "),
    "freedom-ltll": ("ltll/full_files.csv", " "),
    "patterncom": ("PatternCom/shape.csv", ","),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_line_that_lacks_a_cell_is_named(name, copied):
    file, delimiter = TABLES[name]
    root = copied(name)
    rewritten(root, file, 3, f"a.jpg{delimiter}b")
    refused(name, root, f"{root / file}, line 3", "2 cells, where three belong")
    (root / file).write_bytes(b"")
    refused(name, root, f"{root / file} is empty")
    (root / file).write_bytes(b"\xff")
    refused(name, root, f"{root / file} cannot be read")
    (root / file).unlink()
    refused(name, root, f"lacks {file}")


@pytest.mark.parametrize(
    ("name", "file", "row", "words"),
    [
        ("icir", "icir/query_files.csv", "a.jpg,red,nothing", ("lacks instances", "nothing")),
        ("freedom-nico", "nico/query_files.csv", "a.jpg rock none", ("lacks classes", "none")),
        ("patterncom", "PatternCom/shape.csv", "a.jpg,shape,oval", ("lacks pictures", "a.jpg")),
        ("icir", "icir/database_files.csv", "../a.jpg,red,thing 1", ("line 3", "no path within")),
        ("icir", "icir/query_files.csv", "../a.jpg,red,thing 1", ("line 3", "no path within")),
        ("freedom-nico", "nico/database_files.csv", "/a.jpg rock b", ("line 3", "no path within")),
        ("patterncom", "patternnet.csv", "../a.jpg 0 b", ("line 3", "no path within")),
        ("patterncom", "patternnet.csv", "images/harbor000.jpg 0 b", ("more than", "harbor000")),
        ("freedom-nico", "nico/database_files.csv", "nico/12.jpg rock class_1", ("nico/12.jpg",)),
    ],
)
def test_lists_that_do_not_belong_together_are_named(name, file, row, words, copied):
    root = copied(name)
    rewritten(root, file, 3, row)
    refused(name, root, *words)


def test_karpathys_lists(copied):
    root = copied("coco-captions")
    file = "dataset_coco.json"

    def of(number, **fields):
        return lambda content: entry(number, **fields)(content["images"])

    for fields, word in (
        ({"sentences": [{"raw": "a dog"}] * 4}, "'sentences' has 4, where 5 or more belong"),
        ({"sentences": [{"tokens": []}] * 5}, "'raw' is missing"),
        ({"split": None}, "'split' is missing"),
        ({"filename": "../a.jpg"}, "no path within"),
        ({"filename": "000000000002.jpg"}, "more than once: 000000000002.jpg"),
    ):
        whole = (root / file).read_bytes()
        change(root / file, of(1, **fields))
        refused("coco-captions", root, word)
        (root / file).write_bytes(whole)
    load_benchmark("coco-captions", root)
    (root / file).unlink()
    refused("coco-captions", root, f"lacks {file}")


OWN = "COCO_val2014_000000000009.jpg"


@pytest.mark.parametrize(
    "path",
    [
        "val2014/COCO_val2014_000000000012.jpg",  # another's
        f"train2014/{OWN}",
        f"val2014/sub/{OWN}",
        OWN,
        f"val2014/{OWN}/..",
        "val2014/COCO_val2014_9.jpg",
        f"val2014\\{OWN}",
        "",
    ],
)
def test_a_path_of_lasco_says_what_its_number_says(path, copied):
    root = copied("lasco")
    whole = (root / LASCO[1]).read_bytes()
    change(root / LASCO[1], entry(3, path=path))
    said = f"it names {path!a} for picture 9, where val2014/{OWN} belongs"
    refused("lasco", root, f"{root / LASCO[1]}, entry 3: {said}")
    (root / LASCO[1]).write_bytes(whole)
    for field in ("query-image", "target-image"):
        asked = (root / LASCO[0]).read_bytes()
        change(root / LASCO[0], entry(3, **{field: [9, path]}))
        refused("lasco", root, f"{root / LASCO[0]}, entry 3: {said}")
        (root / LASCO[0]).write_bytes(asked)


def test_lists_of_lasco_that_do_not_belong_together(copied):
    root = copied("lasco")
    number = 207  # of a picture that is not searched
    file = f"val2014/COCO_val2014_{number:012d}.jpg"
    change(root / LASCO[0], entry(0, **{"target-image": [number, file]}))
    refused("lasco", root, "lacks targets", f": {number}.")
    change(root / LASCO[1], lambda rows: rows.append({"id": "0207", "path": f"./a/{file}"}))
    assert load_benchmark("lasco", root).image_file("207") == root / file
    change(root / LASCO[1], lambda rows: rows.append({"id": 207, "path": file}))
    refused("lasco", root, "more than once: 207")


def test_plain_captions_and_composed_queries_are_two_parts():
    plain, composed = (EvalQuery(r, r, ("a dog",), ("a",)) for r in ("", "b"))
    benchmark = SimpleNamespace(parts=(Part("", ("a", "b"), (plain, composed)),))
    source = BenchmarkSource("mixed", "both", lambda *given: benchmark, needs_data=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtd_adapters.evaluation.benchmark.get_benchmark", lambda name: source)
        with pytest.raises(FileError, match="mixes plain captions with composed queries"):
            load_benchmark("mixed")
