"""`rtd run`: an upstream script, unmodified, with a patch in every text encoder it loads."""

from rtd_adapters.launcher.run import run_script

__all__ = ["run_script"]
