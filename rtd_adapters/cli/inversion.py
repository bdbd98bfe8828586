"""The options of a projection's training: what is learned from, and the hyperparameters."""

from __future__ import annotations

import click

from rtd_adapters.cli import options
from rtd_adapters.cli.recipe import ACCUMULATION, CLIPPING, MIXED_PRECISION, NOISE
from rtd_adapters.cli.triplets.options import SOURCES, column_option

PUBLISHED = "  [as published: lincir {}, pic2word {}, searle {}]"

source_options = options.together(
    click.option(
        "--captions",
        metavar="SOURCE",
        help=f"Captions, for a method that learns from them: {SOURCES}. With --images and no "
        "--phrases: the captions are phrases of their nouns (ours).",
    ),
    column_option,
    click.option(
        "--keywords",
        type=click.Choice(["spacy", "word-list"]),
        help="What finds a caption's keywords: spaCy, as published, or a word list of ours.  "
        "[spacy where it is installed]",
    ),
    click.option(
        "--images",
        type=options.FOLDER,
        metavar="FOLDER",
        help="Pictures, for a method that learns from them, in the folder and the folders in it.",
    ),
    click.option(
        "--phrases",
        type=options.FILE,
        help="Concepts with phrases, for a method that is told such: JSON, concept to list of "
        "phrases.",
    ),
    click.option(
        "--preprocess",
        "image_preprocess",
        type=click.Choice(["clip", "targetpad"]),
        help="How pictures are brought to the tower's size, as in `rtd eval`.  [clip]",
    ),
    click.option(
        "--image-batch-size", type=click.IntRange(1), help="Pictures embedded at a time.  [64]"
    ),
    click.option(
        "--workers",
        "image_workers",
        type=click.IntRange(0),
        help="Processes that read pictures; with 0 the command itself reads them.  [0]",
    ),
    click.option(
        "--skip-broken",
        "image_skip_broken",
        is_flag=True,
        default=None,
        help="Leave out pictures that cannot be read.",
    ),
)
"""What a projection learns from."""
inversion_options = options.together(
    click.option(
        "--lr",
        "learning_rate",
        type=options.FiniteNumber(),
        help="Peak learning rate of AdamW." + PUBLISHED.format("1e-4", "1e-4", "1e-4"),
    ),
    click.option(
        "--batch-size",
        type=int,
        help="Captions or pictures a step." + PUBLISHED.format(512, 1024, 256),
    ),
    click.option(
        "--weight-decay",
        type=options.FiniteNumber(),
        help="Of AdamW." + PUBLISHED.format(0.01, "0.1, biases none", 0.01),
    ),
    click.option(
        "--warmup-steps",
        type=int,
        help="Steps of linear warm-up." + PUBLISHED.format(0, 10_000, 0),
    ),
    click.option(
        "--schedule",
        type=click.Choice(["constant", "cosine"]),
        help="Learning rate after the warm-up."
        + PUBLISHED.format("constant", "cosine", "constant"),
    ),
    click.option(
        "--noise-scale",
        type=options.FiniteNumber(),
        help="Noise on what the projection sees; 0 is none." + PUBLISHED.format(1, 0, 0),
    ),
    NOISE,
    ACCUMULATION,
    CLIPPING,
    click.option(
        "--chunk-size",
        type=int,
        help="Prompts a process embeds at a time: bounded memory for any batch size, the same "
        "gradients, about 1.4 times the work.  [the whole batch]",
    ),
    MIXED_PRECISION,
)
"""The hyperparameters."""
