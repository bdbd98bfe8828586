"""How a broken promise is told: whose it is, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rtd_adapters.methods.method import Method


def require(method: Method, kept: bool, wrong: str, remedy: str) -> None:
    """Raise `AssertionError` where a promise is not kept.

    Args:
        method: whose promise it is.
        kept: whether it is kept.
        wrong: what is wrong if not: a clause that follows the method's name.
        remedy: a sentence that says what to do.
    """
    if not kept:
        raise AssertionError(f"{_called(method)}: {wrong}. {remedy}")


@contextmanager
def promised(method: Method, doing: str, remedy: str) -> Iterator[None]:
    """The same for work that a method promises to do: any error breaks the promise."""
    try:
        yield
    except Exception as error:
        told = f"{type(error).__name__}: {error}".rstrip(".")
        raise AssertionError(f"{_called(method)}: {doing} failed with {told}. {remedy}") from error


def _called(method: Method) -> str:
    name = getattr(method, "name", None) or type(method).__name__
    return f"method {name!r}"
