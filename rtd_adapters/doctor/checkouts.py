"""The seven repositories: how to tell them apart, and the traps that were found in them.

All of it was read in their code and run, at the commits that the README names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from rtd_adapters.clip.releases import (
    ENCODE_REFUSED_FROM,
    ENCODE_WRONG_FROM,
    installed_release,
)

LARGEST = 1 << 20
"""Characters of a source file that are looked at."""
Trap = Callable[[], str | None]


@dataclass(frozen=True)
class Repository:
    """A checkout's marks, and what to say of it."""

    method: str
    layout: str
    url: str
    marks: Mapping[str, str]
    """File -> a word that it contains; all must be there."""
    points: Mapping[str, str]
    """File -> the call through which it loads its CLIP; what `rtd run` watches."""
    commands: tuple[str, ...]
    always: tuple[str, ...] = ()
    """Traps that apply wherever it runs."""
    depending: tuple[Trap, ...] = field(default=())
    """Traps that depend on what is installed."""

    def traps(self) -> tuple[str, ...]:
        """Those that apply here."""
        return (*self.always, *(text for trap in self.depending if (text := trap())))

    def missing_points(self, folder: Path) -> tuple[str, ...]:
        """A sentence for each place where the CLIP should be loaded and is not."""
        return tuple(
            f"{file} does not call {call}, where this repository loaded its CLIP when rtd was "
            "written. rtd run may find nothing to patch; apply(model, ...) by hand is safe."
            for file, call in self.points.items()
            if call not in _text(folder / file)
        )


def recognise_checkout(folder: Path) -> Repository | None:
    """The repository whose marks are all in a folder."""
    for repository in REPOSITORIES:
        if all(word in _text(folder / file) for file, word in repository.marks.items()):
            return repository
    return None


def transformers_breaks_encode() -> str | None:
    """LinCIR's and RTD's encode function under newer transformers."""
    installed = installed_release("transformers")
    if installed is None or installed < ENCODE_REFUSED_FROM:
        return None
    what = "fails" if installed < ENCODE_WRONG_FROM else "computes wrong numbers without an error"
    return (
        f"transformers {version('transformers')}: encode_with_pseudo_tokens_HF {what} (right up to "
        "4.53). rtd run repairs it; without rtd run, install transformers<4.54."
    )


def torch_refuses_modules() -> str | None:
    """FTI4CIR's checkpoint under newer torch."""
    installed = installed_release("torch")
    if installed is None or installed < (2, 6):
        return None
    return (
        f"torch {version('torch')} refuses its checkpoint, a pickled module. If you trust the "
        "file, set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 for its scripts; rtd reads it without."
    )


def clip_wants_pkg_resources() -> str | None:
    """OpenAI's clip from PyPI under newer setuptools."""
    installed = installed_release("setuptools")
    if installed_release("openai-clip") is None or (installed is not None and installed < (81, 0)):
        return None
    return (
        "openai-clip imports pkg_resources, which setuptools 81 and later lack. Install "
        "'setuptools<81', or clip from github.com/openai/CLIP."
    )


def _text(path: Path) -> str:
    """A file's beginning; nothing of what is no file."""
    try:
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST)
    except OSError:
        return ""


RUN = "rtd run --patch weights.safetensors -- python "
ROUNDED = (
    "a patched CLIP that it loads from a file is rounded to fp16 (rtd export says how much of the "
    "change survives); rtd run and apply stay in fp32."
)
REPOSITORIES = (
    Repository(
        "searle",
        "openai",
        "https://github.com/miccunifi/SEARLE",
        {"src/phi.py": "class Phi", "src/oti_inversion.py": "clip"},
        {"src/validate.py": "clip.load(", "src/generate_test_submission.py": "clip.load("},
        (
            RUN + "src/validate.py --eval-type searle --dataset cirr --dataset-path ...",
            "rtd export weights.safetensors --for searle --projection SEARLE_ViT-L14.pt "
            "--out data/phi_models/patched",
        ),
        (
            "--eval-type searle names its CLIP in the code: only rtd run gets a patch in there. "
            "Exported files are for --eval-type phi.",
            "it loads CLIP twice in a run, once for the pseudo tokens and once for the search; a "
            "patch in one of them has half an effect. rtd run patches both.",
            ROUNDED,
        ),
        (clip_wants_pkg_resources,),
    ),
    Repository(
        "context_i2w",
        "openai",
        "https://github.com/Pter61/context-i2w",
        {"src/eval_retrieval.py": "resume", "model/model.py": "IM2TEXT_OWM_Attn"},
        {"src/eval_retrieval.py": "load("},
        (
            "rtd export weights.safetensors --for context_i2w --base YOUR_RESUME.pt --out new.pt",
            RUN + "src/eval_retrieval.py --resume YOUR_RESUME.pt --eval_mode cirr ...",
        ),
        (
            "the option is --eval_mode; the README's --eval-mode is an error.",
            "without CUDA it fails on args.distributed, which it sets on CUDA only.",
            "the patched tower also computes the context that its projection looks at.",
        ),
    ),
    Repository(
        "pic2word",
        "openai",
        "https://github.com/google-research/composed_image_retrieval",
        {"src/eval_retrieval.py": "IM2TEXT", "model/model.py": "class IM2TEXT"},
        {"src/eval_retrieval.py": "load("},
        (
            "rtd export weights.safetensors --for pic2word --base YOUR_RESUME.pt --out new.pt",
            RUN + "src/eval_retrieval.py --resume YOUR_RESUME.pt --eval-mode cirr ...",
        ),
        (
            "src/eval_retrieval.py swallows every error and prints 'evaluation done': without CUDA "
            "it dies on args.distributed in silence. Figures are in the log, not on the screen.",
            "CIRR val compares full paths with bare names and fails; let the index in src/data.py "
            "return tar_path. --eval-mode cirr_test is broken further.",
            "ViT-H-14 is computed with the wrong activation and head width there.",
        ),
    ),
    Repository(
        "keds",
        "openai",
        "https://github.com/suoych/KEDs",
        {"src/eval_retrieval.py": "retrieval_fuse", "src/model/model.py": "class CrossFormer"},
        {"src/eval_retrieval.py": "load("},
        (
            "rtd export weights.safetensors --for keds --base YOUR_RESUME.pt --out new.pt",
            RUN
            + "src/eval_retrieval.py --resume YOUR_RESUME.pt --eval-mode cirr --distributed ...",
        ),
        (
            "--resume gives the CLIP alone; the streams come from image_branch/checkpoints and "
            "text_branch/checkpoints, where CIRR val wants 30 epochs of each.",
            "banks and data are looked for under /home, and cc3m_have.pkl, cc3m_have_good.pkl, "
            "cc_subject.json and cc_other.json where it runs; it imports llama and a GPU's faiss.",
            "without --distributed it dies on sd, which is never set there. With it, a --resume "
            "file whose names lack module. leaves the CLIP as it was without a word; rtd export "
            "writes them with it.",
            "FashionIQ fails on its first query, and training on pictures on its first batch: two "
            "tokens are handed over where three are cut out, and three where two are.",
        ),
    ),
    Repository(
        "fti4cir",
        "openai",
        "https://github.com/ZiChao111/FTI4CIR",
        {"src/i2t_model.py": "class IMG2TEXT", "src/MHTransformer.py": "class"},
        {"src/evaluate.py": "clip.load("},
        (
            "rtd export weights.safetensors --for fti4cir --out clip_patched.pt",
            RUN + "src/evaluate.py --model_path model.pth --dataset cirr --CIRR_path ...",
        ),
        (
            "its options have underscores; the README's hyphens are refused.",
            "it calls .cuda() throughout and needs a GPU.",
            ROUNDED,
        ),
        (torch_refuses_modules, clip_wants_pkg_resources),
    ),
    Repository(
        "lincir",
        "hf",
        "https://github.com/jaeseokbyun/RTD",
        {"train_text_encoder.py": "import", "encode_with_pseudo_tokens.py": "_HF"},
        {"models.py": "from_pretrained("},
        (
            "rtd export weights.safetensors --for rtd --base CLIP_FOLDER --out text_encoder.pt",
            RUN + "validate.py --eval-type phi --phi-checkpoint-name phi.pt ...",
        ),
        (ROUNDED, "its training never averages gradients over its processes."),
        (transformers_breaks_encode,),
    ),
    Repository(
        "lincir",
        "hf",
        "https://github.com/navervision/lincir",
        {"train_phi.py": "import", "encode_with_pseudo_tokens.py": "_HF"},
        {"models.py": "from_pretrained("},
        (
            "rtd export weights.safetensors --for lincir --base CLIP_FOLDER "
            "--out openai/clip-vit-large-patch14",
            RUN + "validate.py --eval-type phi --phi-checkpoint-name phi.pt ...",
        ),
        (
            ROUNDED,
            "a CLIP folder without the vision tower is filled with random numbers, with no more "
            "than a warning; rtd export writes both towers.",
        ),
        (transformers_breaks_encode,),
    ),
)
