"""Instructions that ask for one word in place of another.

The three families are CompoDiff's (arXiv 2303.11916, keyword route); the wording is ours.
"""

from __future__ import annotations

SWAP = (
    "replace {source} with {target}",
    "put {target} in place of {source}",
    "swap {source} for {target}",
    "change {source} to {target}",
    "change {source} into {target}",
    "turn {source} into {target}",
    "make {source} become {target}",
    "exchange {source} for {target}",
    "trade {source} for {target}",
    "substitute {target} for {source}",
    "convert {source} to {target}",
    "transform {source} into {target}",
    "switch {source} to {target}",
    "go from {source} to {target}",
    "move from {source} to {target}",
    "alter {source} to {target}",
    "modify {source} so that it is {target}",
    "rework {source} as {target}",
    "redo {source} as {target}",
    "let {target} stand in for {source}",
    "show {target} instead of {source}",
    "show {target} rather than {source}",
    "use {target} instead of {source}",
    "have {target} in the place of {source}",
    "give it {target} instead of {source}",
    "prefer {target} over {source}",
    "update {source} to {target}",
    "adapt {source} into {target}",
    "is {target} instead of {source}",
    "is {target} rather than {source}",
)
"""Verb, source, preposition, target."""
REMOVE_AND_ADD = (
    "remove {source} and add {target}",
    "take {source} away and add {target}",
    "drop {source} and bring in {target}",
    "{source} is gone and {target} is there",
    "{source} is taken out and {target} is put in",
    "{source} is removed and {target} takes its place",
    "{source} gives way to {target}",
    "{source} is replaced by {target}",
    "is no longer {source} but {target}",
    "has lost {source} and gained {target}",
)
TARGET_ONLY = (
    "{a_target}",
    "{a_target} instead",
    "with {a_target}",
    "has {a_target}",
    "shows {a_target}",
    "is {a_target}",
    "is now {a_target}",
    "is {a_target} instead",
    "make it {a_target}",
    "choose {a_target}",
    "go for {a_target}",
    "use {a_target}",
    "{a_target} this time",
    "i want {a_target}",
)
"""`a_target` has an article where the caption has one."""
TEMPLATES = SWAP + REMOVE_AND_ADD + TARGET_ONLY
