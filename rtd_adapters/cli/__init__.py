"""The `rtd` command: parses, calls the API, prints.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 128 + n ended by signal n. A traceback
shows only with --debug.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from rtd_adapters import __version__
from rtd_adapters.cli.config import with_config
from rtd_adapters.cli.terminal import echo, printable
from rtd_adapters.compute.signals import Ended, signals_raised
from rtd_adapters.errors import INTERRUPTED, RtdError

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
REFUSED = "The file system refused. Free some space or write elsewhere, then run it again."
UNFORESEEN = "This was not foreseen. Run `rtd --debug ...` again and report what it shows."
COMMANDS = {
    "adapt": "rtd_adapters.cli.adapt:adapt",
    "bench": "rtd_adapters.cli.bench:bench",
    "cache": "rtd_adapters.cli.cache:cache",
    "data": "rtd_adapters.cli.data:data",
    "diagnose": "rtd_adapters.cli.diagnose:diagnose",
    "doctor": "rtd_adapters.cli.doctor:doctor",
    "eval": "rtd_adapters.cli.eval:evaluate",
    "export": "rtd_adapters.cli.export:export",
    "index": "rtd_adapters.cli.index:index",
    "inspect": "rtd_adapters.cli.inspect:inspect",
    "methods": "rtd_adapters.cli.methods:methods",
    "patch": "rtd_adapters.cli.patch:patch",
    "plugins": "rtd_adapters.cli.plugins:plugins",
    "projection": "rtd_adapters.cli.projection:projection",
    "push": "rtd_adapters.cli.push:push",
    "report": "rtd_adapters.cli.report:report",
    "reproduce": "rtd_adapters.cli.reproduce:reproduce",
    "run": "rtd_adapters.cli.run:run",
    "search": "rtd_adapters.cli.search:search",
    "serve": "rtd_adapters.cli.serve:serve",
    "sweep": "rtd_adapters.cli.sweep:sweep",
    "triplets": "rtd_adapters.cli.triplets:triplets",
}


class LazyGroup(click.Group):
    """A group whose built-in commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Built-in commands, then those that plugins add."""
        self._load_plugin_commands()
        return sorted({*COMMANDS, *self.commands})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name in COMMANDS:
            module, attribute = COMMANDS[name].split(":")
            return with_config(getattr(import_module(module), attribute))
        self._load_plugin_commands()
        command = super().get_command(ctx, name)
        return command and with_config(command)

    def _load_plugin_commands(self) -> None:
        from rtd_adapters.hooks.registry import registry

        registry().add_commands(self)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start here: rtd patch --method searle --out weights.safetensors",
)
@click.version_option(__version__, prog_name="rtd")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def cli(debug: bool) -> None:
    """Patch CLIP's text encoder for zero-shot composed image retrieval (RTD, arXiv 2406.09188)."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; every expected failure is one message and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments[:1] or os.environ.get("RTD_DEBUG") == "1"
    try:
        with signals_raised():
            code = cli.main(args=arguments, prog_name="rtd", standalone_mode=False, obj=arguments)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        lines = _with_name_spelled(error).expandtabs().split("\n")
        vars(error).update(message="\n".join(map(printable, lines)))
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        echo("Interrupted. A run with checkpoints goes on with --resume.", err=True)
        sys.exit(INTERRUPTED)
    except Ended as error:
        click.echo(f"Ended by {error}. A run with checkpoints goes on with --resume.", err=True)
        sys.exit(error.exit_code)
    except RtdError as error:
        if debug:
            raise
        echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        echo(
            f"Error: {type(error).__name__}: {error}",
            REFUSED if getattr(error, "errno", None) in REFUSALS else UNFORESEEN,
            err=True,
        )
        sys.exit(1)


def _with_name_spelled(error: click.ClickException) -> str:
    """Its message; line breaks in an option's name are not its own (older click quotes none)."""
    name = getattr(error, "option_name", None)
    return error.message.replace(name, printable(name)) if name else error.message
