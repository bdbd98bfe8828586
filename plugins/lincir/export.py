"""What LinCIR's scripts load, and those of RTD's own code, which began as LinCIR's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtd_adapters import Exporter, everything, hookimpl

if TYPE_CHECKING:
    from rtd_adapters import ExportBase, ExportJob

# models.py loads by hub id, and a folder of that name in the working directory comes first.
USE_FOLDER = (
    "put it at openai/clip-vit-large-patch14 (or the id of your model) in LinCIR's folder; "
    "python validate.py --clip_model_name large ..."
)
USE_FILE = "python validate.py --text-encoder-checkpoint-name {out} ..."


@hookimpl
def register_exporters(register: Callable[[Exporter], None]) -> None:
    """Add LinCIR's scripts, and the official RTD ones; both hold their towers in fp16."""
    lincir = Exporter(
        "lincir", USE_FOLDER, write_folder, True, everything, openai_builder=False, strengths=True
    )
    rtd = Exporter(
        "rtd",
        USE_FILE,
        write_rtd_checkpoint,
        False,
        everything,
        openai_builder=False,
        strengths=True,
    )
    register(lincir)
    register(rtd)


def write_folder(job: ExportJob) -> ExportBase:
    """A `CLIPModel` folder, image tower included: what it lacked would be random numbers."""
    from safetensors.torch import save_file

    from rtd_adapters import read_folder_base, whole_folder

    base, source = read_folder_base(job)
    with whole_folder(job.out) as folder:
        for file in source.iterdir():
            if file.suffix in (".json", ".txt") and not file.name.endswith(".index.json"):
                shutil.copyfile(file, folder / file.name)
        tensors = base.tensors | base.text_tower(job.patch, "hf")
        stored = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    return base


def write_rtd_checkpoint(job: ExportJob) -> ExportBase:
    """A checkpoint of the official RTD script: the text tower alone, under its class's name."""
    import torch

    from rtd_adapters import read_base, whole_file

    base = read_base(job)
    with whole_file(job.out) as temporary:
        tower = base.text_tower(job.patch, "hf")
        torch.save({"epoch": 0, "CLIPTextModelWithProjection": tower}, temporary)
    return base
