"""`--calibrate FOLDER`: a backbone's lift fitted to the pictures of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rtd_adapters.clip.backbones import Backbone
from rtd_adapters.clip.calibration import CalibratedHead, CalibrationPictures
from rtd_adapters.clip.image_head import ImageHead
from rtd_adapters.clip.images import has_attention_pool, image_width
from rtd_adapters.clip.text import clean_caption
from rtd_adapters.errors import FileError, UsageError
from rtd_adapters.evaluation.benchmark import image_at
from rtd_adapters.evaluation.folders import SUFFIXES
from rtd_adapters.evaluation.pictures import picture_states
from rtd_adapters.io.hashes import file_sha256
from rtd_adapters.jobs.lift import LIFTED
from rtd_adapters.methods.method import STAND_IN, Method
from rtd_adapters.methods.stand_ins import CaptionSide
from rtd_adapters.triplets import Triplet

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST = 32
"""Pictures. In the built-in world's two ViTs lifted captions had cosine 0.37 to their pictures' own
states with 4 pictures, 0.55 with 8, 0.70 with 16, 0.79 with 32, 0.81 with 64 and 0.83 with 256
(means of up to four draws); without any 0.66, and 0.48 with a modality gap. In the cosine of what
differs between pictures 16 were worse than none, 0.69 against 0.73, and 32 better, 0.77."""
CAPTIONS = 512
"""Of the run, whose mean is theirs."""
BATCH = 32


@dataclass(frozen=True)
class PictureFolder:
    """The pictures that a lift is fitted to."""

    folder: Path
    pictures: tuple[Path, ...]
    """By name."""

    @classmethod
    def found(cls, folder: Path) -> PictureFolder:
        """The pictures in a folder, not in folders below it; none is opened.

        Raises:
            FileError: there is no such folder, or it holds too few.
        """
        if not folder.is_dir():
            raise FileError(f"--calibrate {folder} is no folder. Name one that holds pictures.")
        pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not pictures:
            raise FileError(
                f"--calibrate {folder} holds no pictures ({', '.join(SUFFIXES)}); folders within "
                "it are not searched."
            )
        if len(pictures) < LEAST:
            raise FileError(
                f"--calibrate {folder} holds {len(pictures)} pictures, and a lift fitted to fewer "
                f"than {LEAST} can be worse than the one that needs none. Add some: a few hundred "
                "are best."
            )
        return cls(folder, tuple(pictures))

    def record(self) -> dict[str, object]:
        """For the metadata: how many pictures, and a sha256 of their names and contents."""
        digest = hashlib.sha256()
        for path in self.pictures:
            digest.update(f"{path.name}\0{file_sha256(path)}\0".encode("utf-8", "surrogateescape"))
        return {"count": len(self.pictures), "sha256": digest.hexdigest()}

    @torch.no_grad()
    def seen_by(self, backbone: Backbone) -> CalibrationPictures:
        """What the backbone's image tower makes of them.

        Raises:
            FileError: a picture is damaged.
            UsageError: there is no image tower, or its states are embeddings already.
            BackboneError: rtd does not know the image tower's states.
        """
        model = backbone.images()[0]
        image_width(model)  # refuses what has no such states
        if has_attention_pool(model):
            raise UsageError(
                f"{backbone.label} has an attention pool, whose states are embeddings already, so "
                "there is nothing to calibrate. Leave --calibrate out."
            )
        parts = []
        for start in range(0, len(self.pictures), BATCH):
            opened = [_opened(path) for path in self.pictures[start : start + BATCH]]
            seen = picture_states(backbone, opened)
            whole, patch = seen.tokens[:, 0], seen.tokens[:, 1:].mean(1)
            parts.append((seen.embedding.float(), whole.float(), patch.float()))
        return CalibrationPictures(*(torch.cat(part) for part in zip(*parts, strict=True)))


def require_lifted(method: Method) -> None:
    """Refuse to calibrate a lift that training would not use.

    Raises:
        UsageError: the method's stand-in is not lifted.
    """
    if method.stand_in in LIFTED:
        return
    has = method.options[STAND_IN].choices if STAND_IN in method.options else ()
    lifted = " or ".join(name for name in LIFTED if name in has)
    why = f"with --stand-in {method.stand_in} lifts no captions" if has else "reads no states"
    advice = f"Choose --stand-in {lifted}, or leave" if lifted else "Leave"
    raise UsageError(f"--calibrate fits a lift, and {method.name} {why}. {advice} it out.")


def calibrated_head(
    method: Method, backbone: Backbone, triplets: Sequence[Triplet], pictures: PictureFolder
) -> tuple[CalibratedHead, str]:
    """A head whose lift is fitted to pictures, and a line on how well it lifts.

    Args:
        method: says what is lifted.
        backbone: with its image tower.
        triplets: whose first reference captions give the mean of what is lifted.
        pictures: what the lift is fitted to.

    Raises:
        FileError, UsageError, BackboneError: as `PictureFolder.seen_by`.
    """
    seen = pictures.seen_by(backbone)
    if torch.equal(seen.embedding.amin(0), seen.embedding.amax(0)):
        raise UsageError(
            f"--calibrate {pictures.folder}: {backbone.label} sees the same in all pictures. "
            "Name a folder of different ones."
        )
    tower = backbone.tower
    tokenizer = method.tokenizer(tower)
    captions = [clean_caption(row.reference, tokenizer) for row in triplets[:CAPTIONS]]
    with torch.no_grad():
        embedding = backbone.embed_captions(captions)
        unlifted = ImageHead(patches=backbone.image_head.patches)
        side = CaptionSide(tower, tokenizer, unlifted, lambda vectors: vectors)
        vectors = side.reference(method, captions, embedding, tower).states
        head = CalibratedHead(backbone.image_head, seen, vectors)
    return head, (
        f"calibrated on {len(pictures.pictures)} pictures of {pictures.folder}: lifted captions' "
        f"embeddings have cosine {head.lift_quality(embedding):.2f} to the captions', modality gap "
        f"included; lifted pictures {head.left_out_cosine:.2f} to their own states, each left out "
        "in turn"
    )


def _opened(path: Path) -> Image:
    try:
        return image_at(path)
    except FileError as error:
        raise FileError(
            f"--calibrate: {path} is no picture ({error.__cause__}). Replace it, or take it out of "
            "the folder."
        ) from error
