"""`rtd serve`, end to end: a port, an index and an encoder that fit, a server until Ctrl-C."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from rtd_adapters.clip.backbones import DEFAULT
from rtd_adapters.clip.text import require_strength
from rtd_adapters.compute.signals import Ended
from rtd_adapters.errors import UsageError
from rtd_adapters.jobs.say import Say, silent
from rtd_adapters.jobs.search import SearchInputs, load_searcher
from rtd_adapters.search.questions import Searcher

HOST, PORT = "127.0.0.1", 8765


@dataclass(frozen=True)
class ServeJob:
    """One `rtd serve`: what is served, and where."""

    inputs: SearchInputs
    strength: float = 1.0
    """Of the patch, that the page begins with."""
    host: str = HOST
    port: int = PORT
    """0 for any that is free."""
    allow_hosts: tuple[str, ...] = ()
    """Names that the server may be called by, beside addresses and localhost."""


def run_serve(job: ServeJob, say: Say = silent, ready: Say = silent) -> None:
    """Serve the page and its API until Ctrl-C or SIGTERM.

    Args:
        job: what to do.
        say: told in a line what happens next.
        ready: told in a line where the page is, once it is.

    Raises:
        UsageError: the libraries are not installed, the port is taken, or a strength is none.
        RtdError: index, backbone or patch are missing, damaged, or do not fit.
    """
    require_strength(job.strength)
    try:
        from rtd_adapters.search.server.app import build_app, guarded_app
        from rtd_adapters.search.server.run import address_of, listening, serve
    except ImportError as error:
        raise UsageError(
            f"the server needs an extra ({error.name} is not installed): "
            "pip install 'rtd-adapters[search]'."
        ) from error
    with listening(job.host, job.port) as own:
        searcher = load_searcher(job.inputs, say)
        note = page_note(searcher)
        app = build_app(searcher, strength=job.strength, note=note)
        if note:
            say(note)
        with suppress(KeyboardInterrupt, Ended):  # how a server is ended
            serve(
                guarded_app(app, (*job.allow_hosts, job.host)),
                own,
                lambda: ready(f"{address_of(own)} shows {_described(searcher)}. Ctrl-C ends it."),
            )
        say("ended")


def page_note(searcher: Searcher) -> str:
    """What the page's user should know: how to get what is not there."""
    encoder = searcher.encoder
    if encoder.method is None:
        return (
            "No method is loaded, so pictures and texts are searched apart. Start with `--method` "
            "to ask with both."
        )
    if encoder.patch is None:
        name, backbone = encoder.method.name, encoder.backbone.name
        learn = "" if backbone == DEFAULT else f" --backbone {backbone} ..."
        return (
            "No patch is loaded, so there is nothing to compare the base encoder with. Learn one: "
            f"`rtd patch --method {name}{learn} --out weights.safetensors`. Then start this again "
            "with `--patch weights.safetensors`."
        )
    return ""


def _described(searcher: Searcher) -> str:
    count = searcher.index.card.count
    return f"{count:,} {'picture' if count == 1 else 'pictures'}"
