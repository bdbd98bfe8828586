"""Runs a Python command in this process, as `python` would, with a patch injected."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rtd_adapters.clip.text import require_strength
from rtd_adapters.errors import UsageError
from rtd_adapters.launcher.encode_repair import repair_encode
from rtd_adapters.launcher.import_hooks import after_import
from rtd_adapters.launcher.injection import Injection
from rtd_adapters.patch import TextEncoderPatch


def run_script(
    command: Sequence[str],
    patch: TextEncoderPatch,
    say: Callable[[str], None],
    *,
    strength: float = 1.0,
    force: bool = False,
) -> int:
    """Run `python SCRIPT ARGUMENTS` or `python -m MODULE ARGUMENTS` and return its exit status.

    Args:
        command: the words of the command line.
        patch: what goes into every text encoder that the script loads.
        say: told in a line where the patch went in.
        strength: 0 is the base encoder, 1 the patched one.
        force: patch towers that the patch was not trained for, too.

    Raises:
        UsageError: the command is no Python script, or the strength is not between 0 and 1.
        PatchError: the script ended well, but the patch did not go in.
    """
    require_strength(strength)
    words = _without_python(command)
    injection = Injection(patch, say, strength, force)
    injection.watch()
    after_import("encode_with_pseudo_tokens", lambda module: repair_encode(module, say))
    try:
        status = _execute(words)
    finally:
        injection.over = True
    if status and not injection.failure:
        say(f"the script failed (status {status}); places patched: {len(injection.places)}")
        return status
    injection.require_done()
    return status


def _without_python(command: Sequence[str]) -> list[str]:
    """The command without its interpreter, which must be the one that runs this."""
    words = list(command)
    if not words or not Path(words[0]).name.startswith("python"):
        raise UsageError(
            "rtd run takes a Python command after --, as in: "
            "rtd run --patch weights.safetensors -- python src/validate.py ..."
        )
    interpreter = Path(words.pop(0))
    named = len(interpreter.parts) > 1
    if named and interpreter.resolve() != Path(sys.executable).resolve():
        raise UsageError(
            f"rtd run works inside its own Python ({sys.executable}), not in {interpreter}. "
            "Install rtd-adapters there and call that one's rtd, or write a file with rtd export."
        )
    script = words[1:2] if words[:1] == ["-m"] else words[:1]
    if not script or script[0].startswith("-"):
        raise UsageError("rtd run needs a script, or -m and a module, after python.")
    # Path.is_file raises for a name that no file can have.
    if words[0] != "-m" and not os.path.isfile(words[0]):  # noqa: PTH113
        raise UsageError(f"there is no script {words[0]} in {Path.cwd()}.")
    return words


def _execute(words: list[str]) -> int:
    """Run with the argv and the first entry of sys.path that `python` would set."""
    is_module = words[0] == "-m"
    sys.argv = words[1:] if is_module else words
    target = sys.argv[0]
    sys.path.insert(0, str(Path.cwd() if is_module else Path(target).resolve().parent))
    try:
        if is_module:
            runpy.run_module(target, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(target, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0
