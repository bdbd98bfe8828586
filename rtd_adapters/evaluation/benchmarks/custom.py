"""One's own benchmark, in rtd's open format (docs/evaluation.md).

    queries.csv or queries.jsonl, and gallery/ with pictures in any tree, or gallery.txt with the
    path of a picture in each line

Columns: picture, text, targets; and, if wanted, id, subset, category. Captions of pictures, for
rtd diagnose, stand in captions.csv or captions.jsonl: picture, caption. All paths are relative to
the root, and none leads out of it.

Protocol: rank the whole gallery in its order, take out the query's own picture; recall at 1, 5, 10,
50 of any right answer. Where a query has several, mAP at 10 besides; where queries have subsets,
recall at 1, 2, 3 within them; where they have categories, each is a part of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rtd_adapters.errors import FileError, MissingFilesError
from rtd_adapters.evaluation.annotations import inside
from rtd_adapters.evaluation.benchmark import (
    Benchmark,
    EvalQuery,
    Part,
    Ranking,
    hits,
    image_at,
    required,
)
from rtd_adapters.evaluation.folders import SUFFIXES, OwnFiles, picture_tree
from rtd_adapters.evaluation.metrics import average_precision, recalls
from rtd_adapters.evaluation.tables import read_list, read_table
from rtd_adapters.io.entries import Entry
from rtd_adapters.io.hashes import file_sha256

TABLES = ("queries.csv", "queries.jsonl")
CAPTIONS = ("captions.csv", "captions.jsonl")
LIST, FOLDER = "gallery.txt", "gallery"
COLUMNS = ("picture", "text", "targets", "id", "subset", "category")
CAPTION_COLUMNS = ("picture", "caption")
SEVERAL = ("targets", "subset")
CUTOFFS, SUBSET_CUTOFFS, PRECISION = (1, 5, 10, 50), (1, 2, 3), 10

Named = dict[str, str]
"""Path of a picture -> file and line that names it first, for messages."""


def load(name: str, root: Path, split: str) -> Benchmark:
    """As many queries as there are rows; one part, or one for each category."""
    table, gallery = _table(root), _gallery(root)
    rows = read_table(table, COLUMNS, SEVERAL)
    known = frozenset(gallery)
    queries = [_query(row, known) for row in rows]
    _require_alike(rows, queries)
    places = {query.reference: row.place for row, query in zip(rows, queries, strict=True)}
    _require_pictures(root, places | gallery)
    several = any(len(query.targets) > 1 for query in queries)

    def score(query: EvalQuery, ranking: Ranking) -> Mapping[str, float]:
        return _score(query, ranking, several=several)

    return Benchmark(
        name,
        split,
        tuple(_parts(tuple(gallery), queries)),
        lambda image: image_at(root / image),
        score,
        {
            "reference": "taken out of the ranking",
            "recall": "any right answer is among the first",
            "queries_sha256": file_sha256(table),
        },
        f"custom at {root.resolve()}",
        root.joinpath,
        captions=_captions(root, frozenset(places | gallery)),
    )


def _table(root: Path) -> Path:
    (table,) = _there(root, TABLES) or required(root, " or ".join(TABLES))
    return table


def _there(root: Path, names: tuple[str, ...]) -> list[Path]:
    """The one of both tables that is there, if one is."""
    there = [name for name in names if (root / name).exists()]
    if len(there) > 1:
        raise FileError(f"{root} holds both {' and '.join(there)}. Keep the one that is meant.")
    return [root / name for name in there]


def _captions(root: Path, known: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Of pictures that are asked with or searched, in their rows' order."""
    found: dict[str, tuple[str, ...]] = {}
    for table in _there(root, CAPTIONS):
        for row in read_table(table, CAPTION_COLUMNS, ()):
            picture, caption = (_cell(row, name) for name in CAPTION_COLUMNS)
            for name, filled in zip(CAPTION_COLUMNS, (picture, caption), strict=True):
                if not filled:
                    row.refuse(f"{name!r} is missing or empty")
            image = _path(picture, row.place)
            if image not in known:
                row.refuse(f"'picture' is {image!a}, which no query asks with and no gallery holds")
            found[image] = (*found.get(image, ()), caption)
    return found


def _gallery(root: Path) -> Named:
    """Pictures in their order."""
    if not (root / LIST).exists():
        (folder,) = required(root, FOLDER)
        if not folder.is_dir() or not (found := picture_tree(root, folder)):
            raise FileError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}). Put some there.")
        return {image: str(root / image) for image in found}
    gallery: Named = {}
    for place, line in read_list(root / LIST):
        image = _path(line, place)
        if image in gallery:
            raise FileError(
                f"{place}: {image!a} is there twice, first in {gallery[image]}. Cut one."
            )
        gallery[image] = place
    return gallery


def _path(name: str, place: str) -> str:
    return inside(Path(), name.strip(), place).as_posix()


def _cell(row: Entry, name: str) -> str:
    return row.text(name).strip() if name in row else ""


def _query(row: Entry, gallery: frozenset[str]) -> EvalQuery:
    picture, text, category = (_cell(row, name) for name in ("picture", "text", "category"))
    targets, group = (
        tuple(_path(image, row.place) for image in row.texts(name)) if name in row else ()
        for name in SEVERAL
    )
    for name, filled in (("picture", picture), ("text", text), ("targets", targets)):
        if not filled:
            row.refuse(f"{name!r} is missing or empty")
    reference = _path(picture, row.place)
    for name, images in (("targets", targets), ("subset", group)):
        if outside := [image for image in images if image not in gallery]:
            row.refuse(f"{name!r} has {outside[0]!a}, which is not in the gallery")
        if len(set(images)) < len(images):
            row.refuse(f"{name!r} has a picture twice")
    if reference in targets:
        row.refuse("its own picture is among its 'targets', and is taken out of the ranking")
    if group and not set(targets) & set(group):
        row.refuse("'subset' holds none of its 'targets'")
    return EvalQuery(
        row.identity("id") if "id" in row else row.place.rpartition(" ")[2],
        reference,
        (text,),
        targets,
        category,
        excluded=(reference,),
        group=tuple(image for image in group if image != reference),
    )


def _require_alike(rows: Iterable[Entry], queries: list[EvalQuery]) -> None:
    """Check that ids differ, and that every query has a subset and a category, or none has."""
    seen: Named = {}
    for row, query in zip(rows, queries, strict=True):
        if query.id in seen:
            row.refuse(f"the id {query.id!a} is there twice, first in {seen[query.id]}")
        seen[query.id] = row.place
        for name, own, first in (
            ("subset", query.group, queries[0].group),
            ("category", query.category, queries[0].category),
        ):
            if bool(own) != bool(first):
                has, has_not = ("it", "the first query") if own else ("the first query", "it")
                row.refuse(f"{has} has a {name!r} and {has_not} has none; all have one, or none")


def _require_pictures(root: Path, named: Named) -> None:
    own = OwnFiles(root)
    missing = [image for image in named if not (root / image).is_file()]
    if missing:
        more = f", and {len(missing) - 1} more are missing" if len(missing) > 1 else ""
        raise MissingFilesError(
            f"{named[missing[0]]}: the picture {missing[0]!a} is missing{more}. Paths are relative "
            f"to {root}; `rtd data check custom --data {root}` lists all that is missing.",
            missing,
        )
    for image, place in named.items():
        if own.leaves(root / image):
            raise FileError(
                f"{place}: {image!a} is a link that leads out of {root}. Put the picture there."
            )


def _parts(gallery: tuple[str, ...], queries: list[EvalQuery]) -> list[Part]:
    categories = sorted({query.category for query in queries})
    return [
        Part(category, gallery, tuple(query for query in queries if query.category == category))
        for category in categories
    ]


def _score(query: EvalQuery, ranking: Ranking, *, several: bool) -> Mapping[str, float]:
    right = hits(query.targets, ranking.top(max(CUTOFFS)))
    figures = recalls("recall", right, CUTOFFS)
    if several:
        answers = len(query.targets)
        figures[f"map@{PRECISION}"] = average_precision(right, answers, PRECISION)
    if query.group:
        among = hits(query.targets, ranking.among(query.group))
        figures |= recalls("subset_recall", among, SUBSET_CUTOFFS)
    return figures
