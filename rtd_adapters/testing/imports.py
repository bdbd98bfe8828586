"""The promise that a plugin's module makes: it is light to import."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("torch", "open_clip", "transformers")
_PROGRAM = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*(name for name in sys.argv[2:] if name in sys.modules))
"""


def check_imports(module: str) -> None:
    """Check in a fresh interpreter that importing a plugin's module imports nothing heavy.

    `rtd` imports every installed plugin, whatever it is asked; heavy imports stay in functions.

    Args:
        module: its full name, as the entry point gives it; `sys.path` is this interpreter's.

    Raises:
        AssertionError: it imports torch, open_clip or transformers, or cannot be imported.
    """
    paths = os.pathsep.join(path or str(os.curdir) for path in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, module, *HEAVY],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it exited"])[-1]
        raise AssertionError(
            f"module {module!r} cannot be imported in a fresh interpreter: {reason}. "
            "Install the plugin, or put its folder on sys.path."
        )
    if heavy := done.stdout.split():
        raise AssertionError(
            f"importing module {module!r} imports {', '.join(heavy)}. "
            "Import those inside the functions that use them, or under TYPE_CHECKING."
        )
