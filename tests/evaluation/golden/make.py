"""Run the authors' evaluation code on the miniatures, and write down what it finds.

RTD_UPSTREAMS names a folder with the checkouts SEARLE, composed_image_retrieval, genecis, vsepp,
icir, freedom, rscir, CoIR and CLIP. CoIR (nrdyava/CoIR) is no author of LaSCo, who have none.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from golden.folders import WRITERS, fingerprint

HERE = Path(__file__).parent
FIGURES = HERE / "figures.json"
COMMAND = "RTD_UPSTREAMS=... python -m golden.make (in tests/evaluation)"
DRIVERS = {
    "searle": ("SEARLE", "src"),
    "pic2word": ("composed_image_retrieval", "src"),
    "genecis": ("genecis", ""),
    "vsepp": ("vsepp", ""),
    "icir": ("icir", ""),
    "freedom": ("freedom", ""),
    "rscir": ("rscir", ""),
    "coir": ("CoIR", ""),
}


def main() -> None:
    upstreams = Path(os.environ["RTD_UPSTREAMS"]).resolve()
    used = sorted({"CLIP", *(checkout for checkout, _ in DRIVERS.values())})
    found: dict = {
        "made by": COMMAND,
        "commits": {name: commit(upstreams / name) for name in used},
        "versions": {name: version(name) for name in ("torch", "numpy", "pillow", "pandas")}
        | {"python": platform.python_version()},
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, writer in WRITERS.items():
            writer(root / name)
        found["recipe"] = {name: fingerprint(root / name) for name in WRITERS}
        for driver in DRIVERS:
            for key, values in run(driver, root, upstreams).items():
                found.setdefault(key, {}).update(values)
    FIGURES.write_text(laid_out(found))


def commit(checkout: Path) -> str:
    asked = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def run(driver: str, root: Path, upstreams: Path) -> dict:
    checkout, code = DRIVERS[driver]
    place = upstreams / checkout
    paths = (HERE.parent, place / code, place, place / "third_party", upstreams / "CLIP")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    words = [sys.executable, "-m", f"golden.authors.{driver}", str(root), str(place)]
    done = subprocess.run(
        words, env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return json.loads(done.stdout.split("FOUND", 1)[1])


def laid_out(found: object, depth: int = 0) -> str:
    """JSON, with everything below the third level on its parent's line."""
    if not isinstance(found, dict) or depth > 2:
        return json.dumps(found)
    inner = " " * (depth + 1)
    rows = [f"{inner}{json.dumps(k)}: {laid_out(v, depth + 1)}" for k, v in found.items()]
    return "{\n" + ",\n".join(rows) + f"\n{' ' * depth}}}" + ("" if depth else "\n")


if __name__ == "__main__":
    main()
