"""The model card that lies beside a patch."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rtd_adapters.io.atomic import whole_file
from rtd_adapters.io.hub_files import SCHEME, hub_place
from rtd_adapters.patch.figures import by_unit
from rtd_adapters.patch.metadata import PatchMetadata

_MARKUP = re.compile(r"[\\`*\[\]<>#|&~$]|(?<![^\W_])_|_(?![^\W_])")


class _OneLine(yaml.SafeDumper):
    """Writes no text over several lines: one of them could end the front matter."""

    def represent_str(self, text: str) -> yaml.ScalarNode:
        """Line ends and the like as escapes."""
        style = None if text.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OneLine.add_representer(str, _OneLine.represent_str)
_CARD = """\
---
{front}
---

# {weights}: an RTD patch of {backbone}'s text encoder for {method}

Learned with the objective of RTD (arXiv 2406.09188) by rtd-adapters:

    {command}

## Figures

{figures}

## Load it where the model is built, as in {method}'s own code for a CLIP

The file is a complete text tower under the `{layout}` layout's tensor names:

```python
{imports}from safetensors.torch import load_file
model.load_state_dict(load_file({file}), strict=False)
```

With checks (right base encoder, right shapes), a strength, and a way back:

```python
import rtd_adapters
patch = rtd_adapters.apply(model, {source}, strength=1.0)
patch.revert(model)
```

## Configuration

```json
{configuration}
```
"""


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the patch does not know."""

    licence: str | None = None
    """The Hub's word for it, such as mit. A patch holds a whole text tower, whose own licence
    binds."""
    base_model: str | None = None
    """The Hub's name of the backbone, where `base_model_of` finds none."""
    datasets: tuple[str, ...] = ()
    """The Hub's names of what the triplets or the projection were made from."""


def write_card(
    path: Path,
    metadata: PatchMetadata,
    *,
    weights: str,
    command: str,
    facts: CardFacts | None = None,
    repository: str | None = None,
) -> None:
    """Write a patch's model card.

    Args:
        path: usually README.md beside the weights.
        metadata: as saved in the file.
        weights: the file's name.
        command: the command line that made it.
        facts: what the patch does not know.
        repository: `owner/name` on the Hub, where the file is to be read from there.

    Raises:
        FileError: the disk refuses.
    """
    configuration = {
        "kind": metadata.kind,
        "lora": metadata.lora,
        "recipe": metadata.recipe,
        "training": metadata.training,
        "triplets": metadata.triplets,
        "projection": metadata.projection,
        "base_fingerprint": metadata.base_fingerprint["fp32"],
        "fingerprint": metadata.fingerprint["fp32"],
        "versions": metadata.versions,
    }
    text = _CARD.format(
        front=_front(metadata, weights, facts or CardFacts()),
        imports="from huggingface_hub import hf_hub_download\n" if repository else "",
        source=json.dumps(repository or weights, ensure_ascii=False),
        backbone=_plain(metadata.backbone),
        method=_plain(metadata.method),
        layout=metadata.layout,
        weights=_plain(weights),
        file=_file(weights, repository),
        command=" ".join((command or "rtd patch").splitlines()),
        figures=_table(metadata),
        configuration=json.dumps(configuration, indent=2, sort_keys=True),
    )
    with whole_file(path) as temporary:
        # A file's name may hold bytes that are no UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _file(weights: str, repository: str | None) -> str:
    """Python's expression for the file."""
    name = json.dumps(weights, ensure_ascii=False)
    return f"hf_hub_download({json.dumps(repository)}, {name})" if repository else name


def _table(metadata: PatchMetadata) -> str:
    before, after = (metadata.figures.get(side, {}) for side in ("before", "after"))
    if not before:
        return "None were taken."
    return "\n\n".join(
        "\n".join(
            [
                f"| metric, {unit} | before | after | difference |",
                "|---|---|---|---|",
                *(f"| {' | '.join([_plain(row.metric), *row[1:]])} |" for row in rows),
            ]
        )
        for unit, rows in by_unit(before, after).items()
    )


def _front(metadata: PatchMetadata, weights: str, facts: CardFacts) -> str:
    """The card's YAML, as the Hub reads it: what it is of, and the figures as a model-index."""
    from huggingface_hub import ModelCardData

    results = _results(metadata)
    data = ModelCardData(
        base_model=facts.base_model or base_model_of(metadata.backbone),
        datasets=list(facts.datasets) or None,
        eval_results=results or None,
        library_name="rtd-adapters",
        license=facts.licence,
        model_name=weights if results else None,
        tags=["composed-image-retrieval", "clip", "rtd", metadata.method],
    )
    return yaml.dump(
        data.to_dict(), Dumper=_OneLine, sort_keys=False, allow_unicode=True, width=sys.maxsize
    ).rstrip()


def _results(metadata: PatchMetadata) -> list[Any]:
    """Each figure after training, and what it was taken on."""
    from huggingface_hub import EvalResult

    on, slug = metadata.backbone, "rtd-own-pictures"
    if "judged_on" in metadata.training:
        on, slug = metadata.triplets.get("source", "triplets"), "rtd-held-out-triplets"
    return [
        EvalResult(
            task_type="image-retrieval" if slug == "rtd-own-pictures" else "sentence-similarity",
            dataset_type=slug,
            dataset_name=on,
            metric_type=name,
            metric_value=value,
        )
        for name, value in metadata.figures.get("after", {}).items()
    ]


def base_model_of(backbone: str) -> str | None:
    """The Hub's name of a backbone, where it has one.

    Args:
        backbone: `name/pretrained` with one of open_clip's tags, or a place on the Hub.
    """
    if place := hub_place(backbone) if backbone.startswith(SCHEME) else None:
        return place.repository
    import open_clip

    name, _, tag = backbone.rpartition("/")
    known: str = open_clip.get_pretrained_cfg(name, tag).get("hf_hub") or ""
    return "/".join(known.split("/")[:2]) or None


def _plain(text: str) -> str:
    """A text in one line that Markdown and HTML show as it is."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
