"""billpsomas/rscir: PatternCom, attribute by attribute, in their own loops."""

# ruff: noqa: E402

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import clip
import torch

from golden.authors.exact import Encoders, compose, show, transform
from golden.vectors import LENGTH

_to = torch.Tensor.to
torch.Tensor.to = lambda self, *a, **k: self if a == ("cuda",) else _to(self, *a, **k)

import extract_features
import utils

root = Path(sys.argv[1]) / "patterncom"
texts: list[str] = []
asked: list[str] = []
found: dict[str, dict] = {}


class Clip(Encoders):
    """Embeds a text as its number."""

    def encode_text(self, number: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, float(number)]])


def numbered(text: str) -> torch.Tensor:
    texts.append(text)
    return torch.tensor(len(texts) - 1)


def ranked(
    method: str, picture: torch.Tensor, text: torch.Tensor, database: torch.Tensor, share: float
) -> torch.Tensor:
    """In the place of their methods: by composed queries."""
    prompt = f"a photo of $ that {texts[round(float(text[1] / text[0]))]}"
    asked.append(prompt)
    queries = compose(clip.tokenize([prompt]), (picture * LENGTH).round()[None])
    return torch.argsort((queries @ (database * LENGTH).t())[0], descending=True)


def keep(methods: dict, path: str) -> None:
    """What they write to a table, under our names; figures are in per cent."""
    (figures,) = methods.values()
    attribute = Path(path).stem.rpartition("_")[2]
    names = {"AP": "map", "R@": "recall@", "P@": "precision@"}
    means = {
        new + key.removeprefix(old): value / 100
        for key, value in figures.items()
        for old, new in names.items()
        if key.startswith(old)
    }
    found[attribute] = {"queries": len(asked), "means": means}
    asked.clear()


os.chdir(root)
pictures = extract_features.PatternNet(root / "patternnet.csv", transform, str(root))
loader = torch.utils.data.DataLoader(pictures, batch_size=32)
extract_features.save_dataset(Clip(), loader, str(root / "features/patternnet_clip.pkl"))
utils.load_model = lambda name, kind: (Clip(), transform, numbered)
script = ast.parse((Path(utils.__file__).parent / "evaluate.py").read_text())
*definitions, main = script.body
evaluate = {"__name__": "__main__"}
exec(compile(ast.Module(definitions, []), "evaluate.py", "exec"), evaluate)


evaluate |= {
    "calculate_rankings": ranked,
    "dict_to_csv": keep,
    "round": lambda value, digits: value,
}
sys.argv = ["", "--model_name", "clip", "--dataset_path", str(root), "--methods", "Text only"]
exec(compile(ast.Module([main], []), "evaluate.py", "exec"), evaluate)
show({"figures": {"patterncom": found}})
