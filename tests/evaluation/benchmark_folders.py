"""Miniature datasets in the benchmarks' real folder structures, with random pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import torch
from PIL import Image

PICTURES = 60
SIZE = 64
WORDS = ["red", "blue", "green", "larger", "older", "in the rain", "on the grass", "with a hat"]
TASKS = ("focus_attribute", "change_attribute", "focus_object", "change_object")


def text(number: int) -> str:
    return f"is {WORDS[number % 8]} and {WORDS[(number * 3 + 1) % 8]}"


def picture(number: int, width: int = SIZE, height: int = SIZE) -> Image.Image:
    generator = torch.Generator().manual_seed(number)
    small = torch.randint(0, 256, (4, 4, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(small.numpy()).resize((width, height), Image.Resampling.BILINEAR)


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def draw(path: Path, number: int, **size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number, **size).save(path)


def cirr(root: Path) -> None:
    names = [f"dev-{n}-0-img0" for n in range(PICTURES)]
    for split, folder in (("val", "dev"), ("test1", "test1")):
        for number, name in enumerate(names):
            draw(root / folder / f"{name}.png", number)
        paths = {name: f"./{folder}/{name}.png" for name in names}
        write(root / f"cirr/image_splits/split.rc2.{split}.json", paths)
        queries = []
        for number, name in enumerate(names[:40]):
            members = [names[(number + step) % PICTURES] for step in range(6)]
            entry = {"pairid": number, "reference": name, "caption": text(number)}
            entry["img_set"] = {"id": number, "members": members}
            if split == "val":
                entry |= {"target_hard": members[1], "target_soft": {members[1]: 1.0}}
            queries.append(entry)
        write(root / f"cirr/captions/cap.rc2.{split}.json", queries)


def circo(root: Path) -> None:
    base = root / "COCO2017_unlabeled"
    images = [{"id": 100 + n, "file_name": f"{100 + n:012d}.jpg"} for n in range(PICTURES)]
    for number, image in enumerate(images):
        draw(base / "unlabeled2017" / image["file_name"], number)
    write(base / "annotations/image_info_unlabeled2017.json", {"images": images})
    for split in ("val", "test"):
        entries = []
        for number in range(30):
            entry = {
                "id": number,
                "reference_img_id": 100 + number,
                "relative_caption": text(number),
                "shared_concept": "a thing",
            }
            if split == "val":
                right = [100 + (number + step) % PICTURES for step in range(1, 2 + number % 4)]
                entry |= {"target_img_id": right[0], "gt_img_ids": right}
            entries.append(entry)
        write(root / f"annotations/{split}.json", entries)


def fashioniq(root: Path) -> None:
    for offset, category in enumerate(("dress", "shirt", "toptee")):
        names = [f"{category[0].upper()}{n:05d}" for n in range(PICTURES)]
        for number, name in enumerate(names):
            draw(root / "images" / f"{name}.jpg", 1000 * offset + number)
        write(root / f"image_splits/split.{category}.val.json", names)
        entries = [
            {
                "candidate": name,
                "target": names[(number + 7) % PICTURES],
                "captions": [f"{text(number)}. ", f", {text(number + offset + 2)}?"],
            }
            for number, name in enumerate(names[:40])
        ]
        write(root / f"captions/cap.{category}.val.json", entries)


def genecis(root: Path) -> None:
    for number in range(PICTURES):
        draw(root / "coco/val2017" / f"{number:012d}.jpg", number)
        draw(root / "vg" / f"{number}.jpg", number, width=90, height=70)
    for task in TASKS:

        def image(number: int, task: str = task) -> dict:
            number %= PICTURES
            if task.endswith("object"):
                return {"val_image_id": number}
            box = [3 + number % 20, 5 + number % 10, 20 + number % 30, 15 + number % 25]
            return {"image_id": number, "instance_bbox": box}

        entries = [
            {
                "condition": WORDS[number % 8],
                "reference": image(number),
                "target": image(number + 1),
                "gallery": [image(number + step) for step in range(2, 10)],
            }
            for number in range(40)
        ]
        write(root / f"genecis/{task}.json", entries)


def coco(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "coco_eval.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["id", "query_regions", "query_class", "classes"])
        table.writeheader()
        for number in range(PICTURES):
            name = f"{number:012d}.jpg"
            draw(root / "val2017" / name, number)
            draw(root / "val2017_masked" / name, 500 + number)
            others = ";".join(["dog", "cat"][: number % 3])
            row = {"id": name, "query_regions": "4;6;50;60", "query_class": "bus"}
            table.writerow(row | {"classes": others})


def imagenet(root: Path) -> None:
    targets, asked = [], []
    for number in range(PICTURES):
        name, domain = f"imgnet/imagenet-r/{number}.jpg", [0, 1, 2, 3, 6][number % 5]
        draw(root / name, number)
        targets.append(f"{name} {number % 7 + 1000 * domain}")
    for number in range(20):
        name = f"imgnet/real/{number}.jpg"
        draw(root / name, 300 + number)
        asked.append(f"{name} {number % 7}")
    (root / "imgnet/imgnet_targets.txt").write_text("\n".join(targets) + "\n")
    (root / "imgnet/imgnet_real_query.txt").write_text("\n".join(asked) + "\n")


def custom(root: Path) -> None:
    names = [f"gallery/{'ab'[number % 2]}/{number}.png" for number in range(PICTURES)]
    for number, name in enumerate(names):
        draw(root / name, number)
    with (root / "queries.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["id", "picture", "text", "targets", "subset", "category"])
        table.writeheader()
        for number in range(20):
            following = [names[(number + step) % PICTURES] for step in range(1, 6)]
            draw(root / f"asked/{number}.png", 700 + number)
            row = {"id": f"q{number}", "picture": f"asked/{number}.png", "text": text(number)}
            row |= {"targets": following[0], "subset": ";".join(following)}
            table.writerow(row | {"category": ["shoes", "hats"][number % 2]})


def karpathy(root: Path, file: str, folder: str, **place: str) -> None:
    images = []
    for number in range(PICTURES):
        name, split = f"{number:012d}.jpg", "test" if number % 6 else "val"
        draw(root / folder / name, number)
        sentences = [{"raw": f"a dog that {text(number + step)}"} for step in range(5)]
        images.append({**place, "filename": name, "split": split, "sentences": sentences})
    write(root / file, {"images": images})


def coco_captions(root: Path) -> None:
    karpathy(root, "dataset_coco.json", "val2014", filepath="val2014")


def flickr30k_captions(root: Path) -> None:
    karpathy(root, "dataset_flickr30k.json", "flickr30k-images")


def lines(path: Path, rows: list[tuple[str, ...]], delimiter: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{delimiter.join(row)}\n" for row in rows))


def icir(root: Path) -> None:
    rows: dict[str, list] = {"database": [], "query": []}
    for number in range(PICTURES):
        for kind, own in rows.items():
            draw(root / f"icir/{kind}/{number}.jpg", 2 * number + (kind == "query"))
            row = (f"icir/{kind}/{number}.jpg", WORDS[number % 4], f"thing {number % 3}")
            own.append(row)
    lines(root / "icir/database_files.csv", rows["database"], ",")
    lines(root / "icir/query_files.csv", rows["query"][:24], ",")


DOMAINS = {
    "imagenet_r": ("real", "cartoon", "origami", "toy", "sculpture"),
    "nico": ("autumn", "dim", "grass", "outdoor", "rock", "water"),
    "minidn": ("clipart", "painting", "real", "sketch"),
    "ltll": ("New", "Old"),
}


def freedom(root: Path) -> None:
    for dataset, domains in DOMAINS.items():
        rows = []
        for number in range(PICTURES):
            file = f"{dataset}/{number}.jpg"
            draw(root / file, number)
            rows.append((file, domains[number % len(domains)], f"class_{number % 7}"))
        if dataset in ("nico", "minidn"):
            lines(root / dataset / "query_files.csv", rows[:12], " ")
            lines(root / dataset / "database_files.csv", rows[12:], " ")
        else:
            lines(root / dataset / "full_files.csv", rows, " ")


def patterncom(root: Path) -> None:
    names = [f"{place}{n:03d}.jpg" for place in ("harbor", "bridge", "river") for n in range(20)]
    for number, name in enumerate(names):
        draw(root / "images" / name, number)
    lines(root / "patternnet.csv", [(f"images/{name}", "0", "label") for name in names], " ")
    for attribute in ("color", "context", "density", "existence", "quantity", "shape"):
        rows = [(name, attribute, WORDS[row % 3]) for row, name in enumerate(names[5:])]
        lines(root / f"PatternCom/{attribute}.csv", rows, ",")


def lasco(root: Path) -> None:
    """The last ten pictures are asked with, and not searched; questions make two queries each."""
    files = [f"val2014/COCO_val2014_{3 * number:012d}.jpg" for number in range(PICTURES + 10)]
    for number, file in enumerate(files):
        draw(root / file, number)
    pairs = [[3 * number, file] for number, file in enumerate(files)]
    corpus = [{"id": number, "path": f"val/{file}"} for number, file in pairs[:PICTURES]]
    write(root / "lasco_val_corpus.json", corpus)
    asked = [
        {
            "qid": 1000 + number // 2,
            "query-image": pair,
            "query-text": text(number),
            "target-image": pairs[(number * 7 + 1) % PICTURES],
        }
        for number, pair in enumerate(pairs[-40:])
    ]
    write(root / "lasco_val.json", asked)


WRITERS = {
    "cirr": cirr,
    "circo": circo,
    "fashioniq": fashioniq,
    **{f"genecis-{task.replace('_', '-')}": genecis for task in TASKS},
    "coco-composition": coco,
    "imagenet-r": imagenet,
    "custom": custom,
    "coco-captions": coco_captions,
    "flickr30k-captions": flickr30k_captions,
    "icir": icir,
    **{f"freedom-{dataset}": freedom for dataset in ("imagenet-r", "nico", "minidn", "ltll")},
    "patterncom": patterncom,
    "lasco": lasco,
}
