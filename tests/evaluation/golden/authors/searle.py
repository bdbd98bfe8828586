"""miccunifi/SEARLE: its figures on CIRR, CIRCO and FashionIQ, and its submissions."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import clip
import generate_test_submission as submissions
import torch
import validate
from datasets import CIRCODataset, CIRRDataset, FashionIQDataset
from utils import extract_pseudo_tokens_with_phi

from golden.authors.exact import Encoders, compose, show, transform, whole

root = Path(sys.argv[1])
clip.load = lambda *args, **options: (Encoders(), transform)
for module in (validate, submissions):
    module.encode_with_pseudo_tokens = lambda model, tokens, pseudo: compose(tokens, pseudo)


def pseudo_tokens(dataset: object) -> tuple[torch.Tensor, list[str]]:
    """A reference's pseudo token is its vector."""
    return extract_pseudo_tokens_with_phi(Encoders(), torch.nn.Identity(), dataset)


def counted(found: dict[str, float], names: dict[str, str], queries: int) -> dict[str, int]:
    """Their per cents as counts, under our names; the keys of `names` are prefixes."""
    kept = {
        ours + key.removeprefix(theirs): value / 100
        for theirs, ours in names.items()
        for key, value in found.items()
        if key.startswith(theirs)
    }
    return dict(zip(kept, whole(list(kept.values()), queries), strict=True))


def cirr() -> dict:
    data = root / "cirr"
    tokens, names = pseudo_tokens(CIRRDataset(data, "val", "relative", transform, True))
    found = validate.cirr_val_retrieval(data, "", names, tokens, transform)
    wanted = {"cirr_recall_at": "recall@", "cirr_group_recall_at": "subset_recall@"}
    queries = len(CIRRDataset(data, "val", "relative", transform))
    return {"": {"queries": queries, "counts": counted(found, wanted, queries)}}


def circo() -> dict:
    data = root / "circo"
    queries = CIRCODataset(data, "val", "relative", transform)
    tokens, names = pseudo_tokens(queries)
    found = validate.circo_val_retrieval(data, "", names, tokens, transform)
    means = {
        key.replace("circo_map_at", "map@"): float(value) / 100
        for key, value in found.items()
        if key.startswith("circo_map_at")
    }
    counts = counted(found, {"circo_recall_at": "recall@"}, len(queries))
    return {"": {"queries": len(queries), "counts": counts, "means": means}}


def fashioniq() -> dict:
    data, categories = root / "fashioniq", ["dress", "toptee", "shirt"]
    tokens, names = pseudo_tokens(
        FashionIQDataset(data, "val", categories, "relative", transform, True)
    )
    parts = {}
    for category in sorted(categories):
        found = validate.fiq_val_retrieval(data, category, "", names, tokens, transform)
        queries = len(FashionIQDataset(data, "val", [category], "relative", transform))
        counts = counted(found, {"fiq_recall_at": "recall@"}, queries)
        parts[category] = {"queries": queries, "counts": counts}
    return parts


def submitted() -> dict:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        submissions.PROJECT_ROOT = Path(folder)
        for name, read, make in (
            ("cirr", CIRRDataset, submissions.cirr_generate_test_submission_file),
            ("circo", CIRCODataset, submissions.circo_generate_test_submission_file),
        ):
            data = root / name
            tokens, names = pseudo_tokens(read(data, "test", "relative", transform))
            make(data, "", names, tokens, transform, "own")
            written = sorted((Path(folder) / "data/test_submissions" / name).iterdir())
            found[name] = {file.name: json.loads(file.read_text()) for file in written}
    return {
        "cirr": {
            "recall.json": found["cirr"]["own.json"],
            "recall_subset.json": found["cirr"]["subset_own.json"],
        },
        "circo": {"circo.json": found["circo"]["own.json"]},
    }


figures = {"cirr": cirr(), "circo": circo(), "fashioniq": fashioniq()}
show({"figures": figures, "submissions": submitted()})
