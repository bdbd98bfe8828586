"""The options of a training run: hyperparameters, low-rank factors, and how it is carried out.

Unset hyperparameters take the recipe's value, which differs for the demo.
"""

from __future__ import annotations

import click

from rtd_adapters.cli import options


def _targets(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _blocks(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    if text is None:
        return None
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise click.BadParameter(f"{text!r} is no range such as 6-11.")
    return tuple(range(int(first), int(last or first) + 1))


RECIPE = "  [published recipe: {}; demo: {}]"

OPTIMISATION = (
    click.option(
        "--lr",
        "learning_rate",
        type=options.FiniteNumber(),
        help="Peak learning rate of AdamW." + RECIPE.format("1e-5", "5e-4, lora 3e-3"),
    ),
    click.option("--batch-size", type=int, help="Triplets a step." + RECIPE.format(128, 64)),
    click.option("--weight-decay", type=options.FiniteNumber(), help="Of AdamW.  [0.01]"),
    click.option(
        "--warmup-steps", type=int, help="Steps of linear warm-up." + RECIPE.format(0, 20)
    ),
    click.option(
        "--schedule",
        type=click.Choice(["constant", "cosine"]),
        help="Learning rate after the warm-up." + RECIPE.format("constant", "cosine"),
    ),
)
NOISE = click.option(
    "--noise",
    type=click.Choice(["absolute", "relative"]),
    help="Unit of --noise-scale: unnormalised embeddings' own, as published for CLIP, or each "
    "embedding's length, for towers of another norm (ours).  [absolute]",
)
OBJECTIVE = (
    click.option("--temperature", type=options.FiniteNumber(), help="Of the objective.  [0.07]"),
    click.option(
        "--noise-scale",
        type=options.FiniteNumber(),
        help="Noise of the refined concatenation; 0 is none.  [0.5]",
    ),
    NOISE,
    click.option(
        "--refined-batch/--no-refined-batch",
        default=None,
        help="Whether (bare prompt, reference caption) pairs ride in the batch.  [on]",
    ),
    click.option(
        "--concat",
        type=click.Choice(["refined", "text"]),
        help="What stands at the placeholder: the projected pseudo token, or the "
        "reference caption's words (ablation).  [refined]",
    ),
    click.option(
        "--keep-alignment/--no-keep-alignment",
        default=None,
        help="Add plain caption pairs to the batch, which keeps text-to-image "
        "recall. Ours, not part of RTD.  [off; on in the balanced recipe]",
    ),
)
"""What is learned."""
ACCUMULATION = click.option(
    "--gradient-accumulation", type=int, help="Batches averaged before each step.  [1]"
)
CLIPPING = click.option(
    "--max-grad-norm", type=options.FiniteNumber(), help="Clip the gradient to this norm."
)
MIXED_PRECISION = click.option(
    "--mixed-precision",
    type=click.Choice(["no", "fp16", "bf16"]),
    help="Autocast of the text tower that the gradient goes through.  [no]",
)
STEP = (
    ACCUMULATION,
    CLIPPING,
    click.option(
        "--engine",
        type=click.Choice(["fast", "reference"]),
        help="How a step is computed: packed, or plainly padded. The result is the same up "
        "to rounding.  [fast]",
    ),
    click.option(
        "--chunk-size",
        type=int,
        help="Triplets a process embeds at a time: bounded memory for any batch size, the "
        "same gradients, about 1.4 times the work.  [the whole batch]",
    ),
    click.option(
        "--checkpoint-activations",
        is_flag=True,
        default=None,
        help="Compute activations again for the gradient instead of keeping them: less "
        "memory, a third more work.",
    ),
    click.option(
        "--local-negatives",
        is_flag=True,
        default=None,
        help="With several processes, take negatives from each one's own rows, as the "
        "official script does.  [from the whole batch]",
    ),
    MIXED_PRECISION,
    click.option(
        "--frozen-precision",
        type=click.Choice(["fp32", "tf32", "bf16"]),
        help="What the frozen text tower computes anchors in; what it costs them is measured and "
        "said. Ours.  [fp32]",
    ),
)
"""How a step is computed."""
CHECKPOINTS = (
    click.option(
        "--resume",
        is_flag=True,
        help="Go on from the run folder's newest checkpoint, to the same result.",
    ),
    click.option(
        "--run-dir",
        "folder",
        type=options.FOLDER,
        help="Keep checkpoints and metrics.jsonl here. By default they lie beside "
        "--out in a .run folder, which goes when the run is done.",
    ),
    click.option(
        "--checkpoint-every",
        type=click.IntRange(0),
        metavar="STEPS",
        help="Steps between checkpoints; 0 writes none.  [by time]",
    ),
    click.option(
        "--checkpoint-minutes",
        type=options.FiniteNumber(),
        metavar="MINUTES",
        help="Minutes between checkpoints; 0 writes none by time.  [5, or 0 with "
        "--checkpoint-every]",
    ),
)
"""What is kept of a run under way."""
VALIDATION = (
    click.option(
        "--validate-every",
        type=click.IntRange(0),
        default=0,
        metavar="STEPS",
        show_default=True,
        help="Steps between validations on what is held out; 0 is never.",
    ),
    click.option(
        "--validate-on",
        type=click.IntRange(0),
        metavar="COUNT",
        help="Held-out triplets (captions, pictures) that figures are taken on, before, during "
        "and after; 0 takes none.  [as many as cost a twentieth of the run]",
    ),
    click.option(
        "--select",
        metavar="METRIC",
        help="Keep the step that was best on a validation metric instead of the last, such as "
        "anchor_recall@1 of a patch or inversion_recall@1 of a projection.",
    ),
)
"""How a run is watched on held-out triplets."""
SURROUNDINGS = (
    click.option(
        "--anchor-cache",
        is_flag=True,
        help="Keep the frozen tower's embeddings on disk, for later runs on the same "
        "captions. `rtd cache` shows and clears them.",
    ),
    click.option(
        "--tracker",
        metavar="NAME",
        help="An accelerate tracker, such as tensorboard; logs to the run folder.",
    ),
    options.device_option,
    click.option(
        "--dry-run",
        is_flag=True,
        help="Load and check everything, train three steps, say what a run would do "
        "and cost, write nothing.",
    ),
)
"""Where a run takes place and what it leaves there."""

optimisation_options = options.together(*OPTIMISATION)
"""How the weights move."""
training_options = options.together(*OPTIMISATION, *OBJECTIVE, *STEP)
"""The hyperparameters."""
lora_options = options.together(
    click.option("--lora-rank", type=int, default=8, show_default=True, help="Rank."),
    click.option(
        "--lora-alpha",
        type=options.FiniteNumber(),
        default=16.0,
        show_default=True,
        help="The factors' product is scaled by alpha / rank.",
    ),
    click.option(
        "--lora-dropout",
        type=options.FiniteNumber(),
        default=0.0,
        show_default=True,
        help="Dropout on the factors' input.",
    ),
    click.option(
        "--lora-targets",
        default="attention,mlp",
        show_default=True,
        callback=_targets,
        help="Layers that get factors: attention, mlp, or both.",
    ),
    click.option(
        "--lora-blocks",
        metavar="FIRST-LAST",
        callback=_blocks,
        help="Transformer blocks that get factors, counted from 0, such as 6-11.  [all]",
    ),
)
"""Size and reach of low-rank factors; for --kind lora."""
run_options = options.together(*CHECKPOINTS, *VALIDATION, *SURROUNDINGS)
"""How the run is carried out."""
prefetch_option = click.option(
    "--prefetch",
    type=click.IntRange(0),
    metavar="WORKERS",
    help="Processes that draw, clean, tokenize and pack batches ahead; the result is the same. 0 "
    "leaves it to the run itself.  [one, as soon as it pays]",
)
