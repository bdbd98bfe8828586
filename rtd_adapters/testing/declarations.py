"""Promises about what a method says of itself: name, texts, layout, prompts, placeholder."""

from __future__ import annotations

import re
from string import Formatter

from rtd_adapters.clip.text import LAYOUTS
from rtd_adapters.clip.text.activations import ACTIVATIONS
from rtd_adapters.methods.method import Method
from rtd_adapters.methods.skeleton import NAME
from rtd_adapters.testing.promises import promised, require
from rtd_adapters.testing.rehearsal import TEXTS, Rehearsal

INJECTIONS = ("call", "file", "launcher")


def name_is_a_lower_case_identifier(method: Method) -> None:
    """`--method` takes the name, and files are called by it."""
    name = getattr(method, "name", None)
    require(
        method,
        isinstance(name, str) and bool(re.fullmatch(NAME, name)),
        f"its name is {name!r}",
        "Use lower-case letters, digits and _, a letter first.",
    )


def texts_are_set(method: Method) -> None:
    """`rtd methods` shows the summary, on one line, and the address."""
    for attribute in ("summary", "reference_url"):
        text = getattr(method, attribute, None)
        require(
            method,
            isinstance(text, str) and bool(text.strip()) and "\n" not in text,
            f"its {attribute} is {text!r}",
            "Give one line of text.",
        )


def layout_is_known(method: Method) -> None:
    """Patches are written under the names that the repository uses."""
    layout = getattr(method, "layout", None)
    known = layout in LAYOUTS
    require(method, known, f"its layout is {layout!r}", f"Use one of {', '.join(LAYOUTS)}.")


def activation_is_known(method: Method) -> None:
    """Where the repository fixes its text tower's activation, rtd can compare it."""
    require(
        method,
        method.activation is None or method.activation in ACTIVATIONS,
        f"its activation is {method.activation!r}",
        f"Use one of {', '.join(ACTIVATIONS)}, or None where the model's configuration decides.",
    )


def injections_are_known(method: Method) -> None:
    """There is a way for a patch into the repository, and rtd knows it."""
    require(
        method,
        bool(method.injections) and set(method.injections) <= set(INJECTIONS),
        f"its injections are {method.injections!r}",
        f"Give a tuple of some of {', '.join(INJECTIONS)}.",
    )


def composed_prompt_takes_the_text(method: Method) -> None:
    """The conditioning text has its one place in the composed prompt, and none in the bare one."""
    for attribute, wanted in (("composed_prompt", ["{text}"]), ("bare_prompt", [])):
        prompt = getattr(method, attribute)
        with promised(method, f"reading {attribute} {prompt!r}", "Write braces as {text} only."):
            fields = [_written(*parts) for _, *parts in Formatter().parse(prompt)]
        found = [field for field in fields if field]
        places = " and ".join(wanted) or "no {text}"
        require(
            method,
            found == wanted,
            f"its {attribute} {prompt!r} has {' and '.join(found) or 'no place for a text'}",
            f"It must have {places}, once and nothing else in braces.",
        )


def placeholder_is_one_token(method: Method) -> None:
    """A pseudo token replaces one token of the method's tokenizer."""
    tokenizer = Rehearsal(method).tokenizer
    require(
        method,
        tokenizer.placeholder == method.placeholder,
        f"its placeholder is {method.placeholder!r} and its tokenizer's {tokenizer.placeholder!r}",
        "Pass placeholder=self.placeholder to the tokenizer.",
    )


def pooling_reads_past_the_placeholder(method: Method) -> None:
    """Pooling takes the first largest id for the end of the text: not the placeholder's."""
    tokenizer = Rehearsal(method).tokenizer
    end, placeholder = int(tokenizer.encode([""]).max()), tokenizer.placeholder_id
    require(
        method,
        placeholder is None or placeholder < end,
        f"its placeholder's id {placeholder} is not below that of the end of text, {end}",
        "Pooling would read the placeholder: use a token below it.",
    )


def placeholder_is_found_in_both_prompts(method: Method) -> None:
    """Each prompt has a placeholder, and all of them survive tokenization."""
    if not method.needs_projection:
        return  # it has no pseudo token to put there
    tokenizer = Rehearsal(method).tokenizer
    prompts = [*(method.composed_prompt.format(text=t) for t in TEXTS), method.bare_prompt]
    counts = [prompt.count(method.placeholder) for prompt in prompts]
    for prompt, count in zip(prompts, counts, strict=True):
        lacking = f"its prompt {prompt!r} has no placeholder {method.placeholder!r}"
        require(method, count > 0, lacking, "Write the placeholder where the pseudo token stands.")
    with promised(method, "tokenizing its prompts", "Let each placeholder be a word by itself."):
        tokenizer.encode_prompts(prompts, counts)


def _written(field: str | None, form: str | None, conversion: str | None) -> str:
    """A replacement field as it stands in a prompt; empty where there is none."""
    if field is None:
        return ""
    conversion, form = f"!{conversion}" if conversion else "", f":{form}" if form else ""
    return f"{{{field}{conversion}{form}}}"
