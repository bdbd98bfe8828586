"""nrdyava/CoIR: LaSCo's validation queries over its list of pictures, in their own loops.

They are not LaSCo's authors, who publish no evaluation code.
"""

from __future__ import annotations

import ast
import json
import sys
import types
from pathlib import Path, PurePosixPath

import clip
import torch

from golden.authors.exact import compose, show, transform, whole
from golden.vectors import WIDTH

root = Path(sys.argv[1]) / "lasco"
CUTOFFS = (1, 5, 10, 50, 100)
"""Of theirs, those that are in every third party's code; they have 500 and 1,000 too."""
shown: list[torch.Tensor] = []
"""Embeddings of the last batch of pictures."""


class Tower:
    """In the place of CLIP's towers. They search by the sum of picture and text, so a text is what
    a picture lacks to be the composed query."""

    config = types.SimpleNamespace(projection_dim=WIDTH)

    @classmethod
    def from_pretrained(cls, **options: object) -> Tower:
        return cls()

    def to(self, device: str) -> Tower:
        return self

    def eval(self) -> None:
        pass


class Pictures(Tower):
    def __call__(self, pixel_values: torch.Tensor) -> types.SimpleNamespace:
        shown[:] = [pixel_values.flatten(1)]
        return types.SimpleNamespace(image_embeds=shown[0])


class Texts(Tower):
    def __call__(self, input_ids: torch.Tensor, **options: object) -> types.SimpleNamespace:
        return types.SimpleNamespace(text_embeds=compose(input_ids, shown[0]) - shown[0])


class Processor:
    """Of pictures or of texts."""

    @classmethod
    def from_pretrained(cls, *names: object, **options: object) -> Processor:
        return cls()

    def __call__(
        self, texts: list[str] | None = None, images: object = None, **options: object
    ) -> dict[str, torch.Tensor]:
        if texts is None:
            return {"pixel_values": transform(images)[None]}
        tokens = clip.tokenize([f"a photo of $ that {text}" for text in texts])
        return {"input_ids": tokens, "attention_mask": tokens > 0}


class Index:
    """Of inner products; of equals the first comes first."""

    def __init__(self, width: int) -> None:
        self.rows: list[torch.Tensor] = []

    def add(self, rows: torch.Tensor) -> None:
        self.rows.append(rows)

    def search(self, queries: torch.Tensor, k: int) -> tuple:
        scores = queries @ torch.cat(self.rows).t()
        found = torch.sort(scores, dim=1, descending=True, stable=True)
        return found.values[:, :k].numpy(), found.indices[:, :k].numpy()


def module(name: str, **content: object) -> None:
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(content)


module(
    "faiss",
    IndexFlatIP=Index,
    StandardGpuResources=lambda: None,
    index_cpu_to_gpu=lambda resources, device, index: index,
)
module(
    "transformers",
    AutoProcessor=Processor,
    AutoImageProcessor=Processor,
    AutoTokenizer=Processor,
    CLIPVisionModelWithProjection=Pictures,
    CLIPTextModelWithProjection=Texts,
)


def rewritten() -> None:
    """LaSCo's lists in the form that they keep them in (their notebooks/indexed_datasets.ipynb)."""
    corpus, asked = (
        json.loads((root / f"lasco_{name}.json").read_text()) for name in ("val_corpus", "val")
    )
    pictures = [
        {"image-id": row["id"], "image-path": f"val2014/{PurePosixPath(row['path']).name}"}
        for row in corpus
    ]
    queries = [
        {
            "id": number,
            "query-image-id": query["query-image"][0],
            "query-image-path": query["query-image"][1],
            "target-image-id": query["target-image"][0],
            "query-text": query["query-text"],
        }
        for number, query in enumerate(asked)
    ]
    (root / "metadata").mkdir()
    for name, content in (("val_corpus", pictures), ("val_indexed", queries)):
        (root / f"metadata/lasco_{name}.json").write_text(json.dumps(content))


def is_place(statement: ast.stmt) -> bool:
    """Whether it says where things lie, or on which device, of theirs."""
    named = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    return named and statement.targets[0].id in places


rewritten()
places = {"device": "cpu", "device_map": "cpu"}
places |= {"out_dir": str(root / "found"), "lasco_data_path": str(root)}
script = ast.parse((Path(sys.argv[2]) / "retrieval/baselines/clip_baseline_lasco.py").read_text())
script.body = [statement for statement in script.body if not is_place(statement)]
done: dict = {"__name__": "__main__", **places}
exec(compile(script, "clip_baseline_lasco.py", "exec"), done)
shares = {name: value / 100 for found in done["metrics"] for name, value in found.items()}
counts = whole([float(shares[f"Recall@{k}"]) for k in CUTOFFS], len(done["output"]))
named = {f"recall@{k}": count for k, count in zip(CUTOFFS, counts, strict=True)}
show({"figures": {"lasco": {"": {"queries": len(done["output"]), "counts": named}}}})
