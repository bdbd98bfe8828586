"""rtd-adapters: text-encoder patches for zero-shot composed image retrieval.

The public names stand in `__init__.pyi`, by room; each is imported on first use, so that
`import rtd_adapters` stays light.
"""

import lazy_loader

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
__all__ = [*_names, "__version__"]
