"""Miniature datasets in the benchmarks' own file formats, full of what a protocol must decide.

Targets stand at any rank, so with a few hundred queries every cutoff has some just inside and some
just outside. Some pictures are there twice, under two names: ties.
"""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from random import Random

from PIL import Image

TASKS = ("focus_attribute", "change_attribute", "focus_object", "change_object")
WORDS = ("red", "BLUE", "in the rain", "a hat, no coat", "older?", "U.S. flag", "two dogs; grass")
ENDS = ("", ".", ". ", " ,", "?", "...", "!", " .,? ", ";")


def caption(draw: Random) -> str:
    """With all that is stripped at the ends of a caption, and much that is not."""
    words = f"is {draw.choice(WORDS)} and {draw.choice(WORDS)} {draw.randrange(100)}"
    return f"{draw.choice(ENDS)}{words}{draw.choice(ENDS)}"


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def paint(path: Path, seed: str, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> None:
    """Noise, without loss whatever the file is called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = Random(seed).randbytes(size[0] * size[1] * len(mode))
    Image.frombytes(mode, size, noise).save(path, "PNG")


def shown(number: int) -> int:
    """Which picture the number shows: every tenth is the one before it once more."""
    return number - 1 if number % 10 == 9 else number


def cirr(root: Path) -> None:
    for split, folder, asked in (("val", "dev", 400), ("test1", "test1", 30)):
        draw = Random(f"cirr {split}")
        names = [f"{folder}-{number}-{number % 3}-img1" for number in range(70)]
        draw.shuffle(names)
        for number, name in enumerate(names):
            paint(root / folder / f"{name}.png", f"{folder} {shown(number)}")
        queries = []
        for number in range(asked):
            members = draw.sample(names, 6)
            if number % 4 == 0:  # twins in one subset
                members = [names[8], names[9], *[m for m in members if m not in names[8:10]][:4]]
                draw.shuffle(members)
            reference, target = draw.sample(members, 2)
            entry = {"pairid": 9000 - 7 * number, "reference": reference, "caption": caption(draw)}
            if split == "val":
                soft = {target: 1.0, draw.choice(names): 0.5}
                entry |= {"target_hard": target, "target_soft": soft}
            queries.append(entry | {"img_set": {"id": number, "members": members}})
        write(root / f"cirr/captions/cap.rc2.{split}.json", queries)
        paths = {name: f"./{folder}/{name}.png" for name in names}
        write(root / f"cirr/image_splits/split.rc2.{split}.json", paths)


def circo(root: Path) -> None:
    draw = Random("circo")
    base, ids = root / "COCO2017_unlabeled", [100 + 3 * number for number in range(80)]
    draw.shuffle(ids)
    images = [{"file_name": f"{number:012d}.jpg", "id": number} for number in ids]
    for image in images:
        paint(base / "unlabeled2017" / image["file_name"], f"circo {shown(image['id'] // 3)}")
    write(base / "annotations/image_info_unlabeled2017.json", {"images": images})
    for split, asked in (("val", 200), ("test", 30)):
        entries = []
        for number in range(asked):
            right = draw.sample(ids, 1 + number % 23)
            entry = {"id": 700 - number, "reference_img_id": draw.choice(ids)}
            entry |= {"relative_caption": caption(draw), "shared_concept": "a dog"}
            if split == "val":
                entry |= {"target_img_id": right[0], "gt_img_ids": right}
            entries.append(entry)
        write(root / f"annotations/{split}.json", entries)


def fashioniq(root: Path) -> None:
    for category, size in (("dress", 60), ("shirt", 75), ("toptee", 90)):
        draw = Random(category)
        names = [f"{category[0].upper()}{number:05d}" for number in range(size)]
        draw.shuffle(names)
        for number, name in enumerate(names):
            paint(root / "images" / f"{name}.jpg", f"{category} {shown(number)}")
        write(root / f"image_splits/split.{category}.val.json", names)
        entries = []
        for _ in range(200):
            reference, target = draw.sample(names, 2)
            captions = [caption(draw), caption(draw)]
            entries.append({"candidate": reference, "target": target, "captions": captions})
        write(root / f"captions/cap.{category}.val.json", entries)


VG_SIZES = ((40, 30), (23, 50), (31, 31))


def genecis(root: Path) -> None:
    for number in range(50):
        paint(root / "coco/val2017" / f"{number:012d}.jpg", f"coco {number}")
        mode = "L" if number % 5 == 0 else "RGB"
        paint(root / "vg" / f"{number}.jpg", f"vg {number}", VG_SIZES[number % 3], mode)
    for task in TASKS:
        draw = Random(task)

        def image(number: int, task: str = task, draw: Random = draw) -> dict:
            if task.endswith("object"):
                return {"val_image_id": number}
            return {"image_id": number, "instance_bbox": box(VG_SIZES[number % 3], draw)}

        entries = []
        for number in range(100):
            reference, target, *others = (image(n) for n in draw.sample(range(50), 11))
            if number == 7:
                others[0] = target
            if task.endswith("attribute"):  # almost the same box of the same picture
                x, y, width, height = others[1]["instance_bbox"]
                others[2] = others[1] | {"instance_bbox": [x, y, width - 0.4, height]}
            entry = {"condition": draw.choice(WORDS), "reference": reference, "target": target}
            entries.append(entry | {"gallery": others})
        write(root / f"genecis/{task}.json", entries)


def box(size: tuple[int, int], draw: Random) -> list[float]:
    """x, y, width, height; many touch the border, and some are the whole picture."""
    width, height = size
    if draw.random() < 0.1:
        return [0, 0, width, height]
    x, y = draw.choice((0, 1, draw.randrange(width - 8))), draw.choice((0, draw.randrange(15)))
    across, down = draw.randrange(2, width - x), draw.randrange(2, height - y)
    if draw.random() < 0.2:
        return [x + 0.5, y + 0.25, across - 0.5, down - 0.75]
    return [x, y, across, down]


def coco(root: Path) -> None:
    draw = Random("coco composition")
    root.mkdir(parents=True, exist_ok=True)
    with (root / "coco_eval.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["id", "query_regions", "query_class", "classes"])
        table.writeheader()
        for number in range(150):
            name = f"{3 * number:012d}.jpg"
            for folder in ("val2017", "val2017_masked"):
                paint(root / folder / name, f"{folder} {shown(number)}", (30, 20))
            left, top = draw.uniform(0, 20), draw.uniform(0, 10)
            corner = f"{left + draw.uniform(3, 10):.2f};{top + draw.uniform(3, 10):.2f}"
            classes = draw.sample(["dog", "cat", "wine glass", "bus"], 1 + number % 4)
            row = {"id": name, "query_regions": f"{left:.2f};{top:.2f};{corner} "}
            table.writerow(row | {"query_class": classes[0], "classes": ";".join(classes[1:])})


def imagenet(root: Path) -> None:
    """Class 5 has no toys, class 6 nothing at all, and right answers are one to twenty."""
    draw = Random("imagenet-r")
    labels = [1000 * domain + kind for domain in (0, 1, 2, 3, 6) for kind in range(6)]
    labels = [label for label in labels if label != 2005]
    labels += draw.choices([label for label in labels if label % 1000 != 4], k=220)
    draw.shuffle(labels)
    targets, asked = [], []
    for number, label in enumerate(labels):
        name = f"imgnet/imagenet-r/{number}.jpg"
        paint(root / name, f"target {shown(number)}")
        targets.append(f"{name} {label} ")
    for number in range(130):
        name = f"imgnet/real/{number}.JPEG"
        paint(root / name, f"real {number}")
        asked.append(f"{name} {number % 7} ")
    (root / "imgnet/imgnet_targets.txt").write_text("\n".join(targets) + "\n")
    (root / "imgnet/imgnet_real_query.txt").write_text("\n".join(asked) + "\n")


def karpathy(root: Path, name: str, place: dict[str, str], captions: tuple[int, ...]) -> None:
    """Pictures of three splits, in any order; the captions of each, of which five count."""
    draw = Random(name)
    splits = ["test"] * 60 + ["train", "val", "restval"] * 5
    draw.shuffle(splits)
    images = []
    for number, split in enumerate(splits):
        file = f"{name}_{5 * number:012d}.jpg"
        folder = place.get("filepath", "flickr30k-images")
        paint(root / folder / file, f"{name} {shown(number)}")
        sentences = [{"raw": caption(draw) + " for $5"} for _ in range(draw.choice(captions))]
        images.append({**place, "filename": file, "split": split, "sentences": sentences})
    write(root / f"dataset_{name}.json", {"images": images, "dataset": name})


def coco_captions(root: Path) -> None:
    karpathy(root, "coco", {"filepath": "val2014"}, (5, 6, 7))


def flickr30k_captions(root: Path) -> None:
    karpathy(root, "flickr30k", {}, (5,))


def lines(path: Path, rows: list[tuple[str, str, str]], delimiter: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{delimiter.join(row)}\n" for row in rows), encoding="utf-8")


def icir(root: Path) -> None:
    """Instances of many sizes, a picture in two of them or twice in one, a text without answers."""
    draw = Random("icir")
    database, asked, number = [], [], 0
    for instance in range(12):
        texts = [f"{draw.choice(WORDS).replace(',', '')} {n}" for n in range(1 + instance % 5)]
        for _ in range(10 + 7 * instance):
            file = f"icir/database/{instance}/{number}.jpg"
            paint(root / file, f"icir {shown(number)}")
            number += 1
            database.append((file, draw.choice([*texts, "something else"]), f"thing {instance}"))
        for text in (*texts, "never seen")[: 4 + instance % 3]:
            for view in range(3):
                file = f"icir/query/{instance}/{view}.jpg"
                paint(root / file, f"asked {instance} {view}")
                asked.append((file, text, f"thing {instance}"))
    file, text, instance = database[100]
    database += [(file, text, "thing 3"), (file, "another", instance), (file, text, instance)]
    draw.shuffle(database)
    draw.shuffle(asked)
    lines(root / "icir/database_files.csv", database, ",")
    lines(root / "icir/query_files.csv", asked, ",")


DOMAINS = {
    "imagenet_r": ("real", "cartoon", "origami", "toy", "sculpture"),
    "nico": ("autumn", "dim", "grass", "outdoor", "rock", "water"),
    "minidn": ("clipart", "painting", "real", "sketch"),
    "ltll": ("New", "Old"),
}


def freedom(root: Path) -> None:
    """Lists of what asks and is searched, or one for both; a class that one domain lacks.

    One class has more pictures than the first cutoffs have places.
    """
    for dataset, domains in DOMAINS.items():
        draw = Random(dataset)
        written = {"query": 40, "database": 140} if dataset in ("nico", "minidn") else {"full": 120}
        for kind, count in written.items():
            rows = []
            for number in range(count):
                kind_of = draw.choices(range(6), weights=(12, 1, 1, 1, 1, 1))[0]
                domain, label = domains[number % len(domains)], f"class_{kind_of}"
                if (domain, label) == (domains[0], "class_3"):
                    label = "class_4"
                file = f"{dataset}/{kind}/{number}.jpg"
                paint(root / file, f"{dataset} {kind} {shown(number)}")
                rows.append((file, domain, label))
            draw.shuffle(rows)
            lines(root / dataset / f"{kind}_files.csv", rows, " ")


PLACES = {
    "color": ("airplane", "tenniscourt"),
    "context": ("bridge", "overpass", "airplane"),
    "density": ("denseresidential", "sparseresidential", "harbor"),
    "existence": ("ferryterminal", "harbor", "parkingspace", "parkinglot", "bridge", "overpass"),
    "quantity": ("tenniscourt", "closedroad", "intersection"),
    "shape": ("closedroad", "intersection", "river"),
}


def patterncom(root: Path) -> None:
    """Values that classes share or do not, and pictures with two of them."""
    draw = Random("patterncom")
    names = [f"{p}{n:03d}.jpg" for p in sorted({*sum(PLACES.values(), ())}) for n in range(9)]
    for number, name in enumerate(names):
        paint(root / "images" / name, f"patterncom {shown(number)}")
    draw.shuffle(names)
    lines(root / "patternnet.csv", [(f"images/{name}", "0", "label") for name in names], " ")
    for attribute, places in PLACES.items():
        listed = [name for name in names if name.rstrip(".jpg0123456789") in places][::-1]
        listed += listed[:3]
        rows = []
        for name in listed:
            values = [f"{attribute} {value}" for value in draw.sample(WORDS[:5], 2)]
            rows.append((name, attribute, f'"{values[0]}"'))
        lines(root / f"PatternCom/{attribute}.csv", rows, ",")


def lasco(root: Path) -> None:
    """150 pictures, some of them twice, and two that are asked with and not searched."""
    draw = Random("lasco")
    ids = [7 * number for number in range(152)]
    files = {image: f"val2014/COCO_val2014_{image:012d}.jpg" for image in ids}
    for number, image in enumerate(ids):
        paint(root / files[image], f"lasco {shown(number)}")
    searched = ids[:150]
    draw.shuffle(searched)
    write(
        root / "lasco_val_corpus.json",
        [{"id": image, "path": f"val/{files[image]}"} for image in searched],
    )
    entries = []
    for number in range(400):
        reference, target = draw.choice(ids), draw.choice(searched)
        entry = {"qid": 1000 * reference + number % 3, "query-image": [reference, files[reference]]}
        entry |= {"query-text": caption(draw), "target-image": [target, files[target]]}
        entries.append(entry)
    write(root / "lasco_val.json", entries)


WRITERS = {
    "cirr": cirr,
    "circo": circo,
    "fashioniq": fashioniq,
    "genecis": genecis,
    "coco-composition": coco,
    "imagenet-r": imagenet,
    "coco-captions": coco_captions,
    "flickr30k-captions": flickr30k_captions,
    "icir": icir,
    "freedom": freedom,
    "patterncom": patterncom,
    "lasco": lasco,
}


def fingerprint(root: Path) -> str:
    """Of all annotations below a folder."""
    found = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".json", ".csv", ".txt"):
            found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]
