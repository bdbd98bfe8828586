"""`rtd export`: a patch as the file that an upstream repository loads by its own flags."""

from __future__ import annotations

from pathlib import Path

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.terminal import echo, echo_json


@click.command()
@click.argument("patch", type=options.FILE)
@click.option(
    "--for",
    "target",
    required=True,
    help="The repository that will load it: searle, pic2word, lincir, context_i2w, fti4cir, keds, "
    "rtd, or another that `rtd plugins` lists; onnx for onnxruntime, without torch.",
)
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="What is patched: a CLIP checkpoint, your own --resume checkpoint (pic2word, context_i2w, "
    "keds) or a transformers folder (lincir).  [the patch's own backbone]",
)
@click.option(
    "--projection", type=options.INPUT, help="The projection that goes beside it (searle, onnx)."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="What to write.")
@options.strength_option
@click.option(
    "--allow-torchscript",
    is_flag=True,
    help="Read a --base that is a TorchScript archive, such as OpenAI's own files. Unpacking one "
    "reads the code in it; only for files you trust.",
)
@click.option("--force", is_flag=True, help="Accept a base that the patch was not trained for.")
@options.overwrite_option
@options.json_option
def export(
    patch: Path,
    target: str,
    base: Path | None,
    projection: Path | None,
    out: Path,
    strength: float,
    allow_torchscript: bool,
    force: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write PATCH as the very file or folder that a repository's own flags load.

    \b
    Examples:
      rtd export weights.safetensors --for searle --projection SEARLE_ViT-L14.pt \\
          --out data/phi_models/patched
      rtd export weights.safetensors --for pic2word --base pic2word_model.pt --out patched.pt
      rtd export weights.safetensors --for fti4cir --out clip_patched.pt
      rtd export weights.safetensors --for onnx --projection SEARLE_ViT-L14.pt --out exported
    """
    from rtd_adapters.export.exporter import ExportJob
    from rtd_adapters.export.run import export_patch
    from rtd_adapters.patch import TextEncoderPatch

    loaded = TextEncoderPatch.load(patch)
    job = ExportJob(loaded, out, base, projection, allow_torchscript, force, overwrite, strength)
    done = export_patch(job, target)
    if as_json:
        record = {"file": str(done.out), "strength": strength, "use": done.use}
        echo_json(record | {"surviving_share": done.surviving})
        return
    name = patch.name if strength == 1 else f"{patch.name} at strength {strength:g}"
    echo(f"{done.out}: {name} for {target}. There:", f"  {done.use}")
    if done.surviving is not None:
        echo(
            f"{target} rounds the text tower to fp16 when it loads it: "
            f"{100 * done.surviving:.0f} % of the change survives. `rtd run` hands it over in fp32."
        )
