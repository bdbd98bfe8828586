"""The model card that lies beside a patch."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rtd_adapters.io.atomic import whole_file
from rtd_adapters.patch.figures import by_unit
from rtd_adapters.patch.metadata import PatchMetadata

_BARE = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)
"""A word that YAML takes for itself; `ViT-B-32/openai` is one."""
_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
"""Mean something else to YAML."""
_MARKUP = re.compile(r"[\\`*\[\]<>#|&~$]|(?<![^\W_])_|_(?![^\W_])")
_CARD = """\
---
base_model: {base_model}
tags: [composed-image-retrieval, clip, rtd, {tag}]
library_name: rtd-adapters
---

# {weights}: an RTD patch of {backbone}'s text encoder for {method}

Learned with the objective of RTD (arXiv 2406.09188) by rtd-adapters:

    {command}

## Figures

{figures}

## Load it where the model is built, as in {method}'s own code for a CLIP

The file is a complete text tower under the `{layout}` layout's tensor names:

```python
from safetensors.torch import load_file
model.load_state_dict(load_file({file}), strict=False)
```

With checks (right base encoder, right shapes), a strength, and a way back:

```python
import rtd_adapters
patch = rtd_adapters.apply(model, {file}, strength=1.0)
patch.revert(model)
```

## Configuration

```json
{configuration}
```
"""


def write_card(path: Path, metadata: PatchMetadata, *, weights: str, command: str) -> None:
    """Write a patch's model card.

    Args:
        path: usually README.md beside the weights.
        metadata: as saved in the file.
        weights: the file's name.
        command: the command line that made it.

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
        base_model=_quoted(metadata.backbone),
        tag=_quoted(metadata.method),
        backbone=_plain(metadata.backbone),
        method=_plain(metadata.method),
        layout=metadata.layout,
        weights=_plain(weights),
        file=json.dumps(weights, ensure_ascii=False),
        command=" ".join((command or "rtd patch").splitlines()),
        figures=_table(metadata),
        configuration=json.dumps(configuration, indent=2, sort_keys=True),
    )
    with whole_file(path) as temporary:
        # A file's name may hold bytes that are no UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


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


def _quoted(text: str) -> str:
    """A YAML scalar; JSON's strings are such, and hold line ends and syntax as plain text."""
    return text if _BARE.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text)


def _plain(text: str) -> str:
    """A text in one line that Markdown and HTML show as it is."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
