"""The model card that lies beside a patch."""

from __future__ import annotations

import json
from pathlib import Path

from rtd_adapters.io.atomic import whole_file
from rtd_adapters.patch.metadata import PatchMetadata

_CARD = """\
---
base_model: {backbone}
tags: [composed-image-retrieval, clip, rtd, {method}]
library_name: rtd-adapters
---

# {weights}: an RTD patch of {backbone}'s text encoder for {method}

Learned with the objective of RTD (arXiv 2406.09188) by rtd-adapters:

    {command}

## Figures

{figures}

## Load it in {method}'s own code

The file is a complete text tower under the `{layout}` layout's tensor names:

```python
from safetensors.torch import load_file
model.load_state_dict(load_file("{weights}"), strict=False)
```

With checks (right base encoder, right shapes), a strength, and a way back:

```python
import rtd_adapters
patch = rtd_adapters.apply(model, "{weights}", strength=1.0)
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
        "training": metadata.training,
        "triplets": metadata.triplets,
        "projection": metadata.projection,
        "base_fingerprint": metadata.base_fingerprint["fp32"],
        "fingerprint": metadata.fingerprint["fp32"],
        "versions": metadata.versions,
    }
    text = _CARD.format(
        backbone=metadata.backbone,
        method=metadata.method,
        layout=metadata.layout,
        weights=weights,
        command=command or "rtd patch",
        figures=_table(metadata),
        configuration=json.dumps(configuration, indent=2, sort_keys=True),
    )
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _table(metadata: PatchMetadata) -> str:
    before, after = (metadata.figures.get(side, {}) for side in ("before", "after"))
    if not before:
        return "None were taken."
    rows = ["| metric, per cent | before | after | difference |", "|---|---|---|---|"]
    rows += [
        f"| {name} | {before[name]:.1f} | {after[name]:.1f} | {after[name] - before[name]:+.1f} |"
        for name in before
    ]
    return "\n".join(rows)
