"""Composed search in a vector database of your own: here LanceDB, and any other that takes vectors.

    python store.py PICTURES --image query.png --text "is red" --patch weights.safetensors

The image side never changes, so one table serves plain texts, composed queries and every patch.
What a projection reads must not be normalised, so the table keeps both: the unit vector that is
searched, and the embedding that a stored picture is asked from.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

import lancedb
from PIL import Image

from rtd_adapters import CompositionEncoder, Seen

BATCH = 64


def fill(encoder: CompositionEncoder, folder: Path, where: Path) -> Any:
    """A table of the pictures, made batch by batch."""
    table, files = None, iter(sorted(path for path in folder.rglob("*") if path.is_file()))
    database = lancedb.connect(where)
    while batch := list(islice(files, BATCH)):
        seen = encoder.see(Image.open(file) for file in batch).embedding.numpy()
        units = seen / (seen**2).sum(axis=1, keepdims=True) ** 0.5
        rows = [
            {"file": file.relative_to(folder).as_posix(), "kind": file.suffix[1:]}
            | {"vector": unit, "embedding": embedding}
            for file, unit, embedding in zip(batch, units, seen, strict=True)
        ]
        if table is None:
            table = database.create_table("pictures", rows, mode="overwrite")
        else:
            table.add(rows)
    return table


def nearest(table: Any, vector: Any, count: int = 5, where: str | None = None) -> list[str]:
    """Files, best first; `where` is a filter in SQL, as the store has it."""
    query = table.search(vector, vector_column_name="vector").distance_type("cosine").limit(count)
    return [row["file"] for row in (query.where(where) if where else query).to_list()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--patch", type=Path)
    parser.add_argument("--store", type=Path, default=Path("store"))
    options = parser.parse_args()
    encoder = CompositionEncoder.load("searle", patch=options.patch)  # backbone=..., projection=...
    table = fill(encoder, options.folder, options.store)

    composed = encoder.encode_composed([Image.open(options.image)], [options.text])[0]
    print("composed:", *nearest(table, composed))
    print("png only:", *nearest(table, composed, where="kind = 'png'"))
    print("plain text:", *nearest(table, encoder.encode_texts([options.text])[0]))
    first = table.search().limit(1).to_list()[0]  # a picture of the store is the next reference
    again = encoder.encode_composed(Seen.of([first["embedding"]]), [options.text])[0]
    print(f"from {first['file']}:", *nearest(table, again))


if __name__ == "__main__":
    main()
