"""Composed search in a folder of one's own pictures: index it once, ask as often as you like.

    python own_folder.py PICTURES --image query.jpg --text "is red" --patch weights.safetensors \
        --backbone ViT-L-14 --pretrained openai --projection SEARLE_ViT-L14.pt

Without --backbone it is the built-in world's, which knows no photographs. The first call embeds the
pictures, later ones what is new. Needs `pip install "rtd-adapters[search]"`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from rtd_adapters import CompositionEncoder, Index, IndexJob, run_index


def search(options: argparse.Namespace) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """The nearest pictures by the base encoder and, with a patch, by the patched one."""
    where = options.index or options.folder.with_name(f"{options.folder.name}.index")
    run_index(IndexJob(str(options.folder), where, None, options.backbone, options.pretrained))
    index = Index.open(where)
    encoder = CompositionEncoder.load(
        options.method,
        backbone=options.backbone,
        pretrained=options.pretrained,
        projection=options.projection,
        patch=options.patch,
    )
    seen = encoder.see([Image.open(options.image)])
    for name, strength in {"base": 0.0, "patched": encoder.strength}.items():
        if name == "patched" and options.patch is None:
            return
        query = encoder.at(strength).encode_composed(seen, [options.text])
        (hits,) = index.search(query, options.count)
        yield name, [(hit.id, hit.score) for hit in hits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of pictures")
    parser.add_argument("--image", type=Path, required=True, help="the reference picture")
    parser.add_argument("--text", required=True, help="what shall be otherwise, as in 'is red'")
    parser.add_argument("--patch", type=Path)
    parser.add_argument("--method", default="searle")
    parser.add_argument("--backbone", default="demo")
    parser.add_argument("--pretrained")
    parser.add_argument("--projection", type=Path)
    parser.add_argument("--index", type=Path, help="where the index lies  [beside the folder]")
    parser.add_argument("--count", type=int, default=5)
    for name, hits in search(parser.parse_args()):
        print(name)
        for place, (picture, score) in enumerate(hits, start=1):
            print(f"  {place}. {picture}  {score:.3f}")


if __name__ == "__main__":
    main()
