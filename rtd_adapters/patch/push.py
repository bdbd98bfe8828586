"""Pushes a patch file and its model card to Hugging Face's Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rtd_adapters.errors import UsageError
from rtd_adapters.io.hub_files import PATCH_FILE, asked, hub_place
from rtd_adapters.patch.card import CardFacts, write_card
from rtd_adapters.patch.metadata import PatchMetadata

CARD = "README.md"


def push_file(
    file: Path,
    metadata: PatchMetadata,
    repository: str,
    facts: CardFacts,
    *,
    private: bool = False,
    message: str | None = None,
) -> str:
    """Push a patch file, byte for byte, as `PATCH_FILE`, with its card, in one commit.

    What else it takes, gives and raises is said of `TextEncoderPatch.push_to_hub`.

    Args:
        file: the patch.
        metadata: as saved in the file.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    place = hub_place(repository)
    if place is None or place.file or place.datasets:
        raise UsageError(f"{repository!r} is no repository of models. Write owner/name.")
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / CARD
        name = place.repository
        write_card(card, metadata, weights=PATCH_FILE, command="", facts=facts, repository=name)
        added = [CommitOperationAdd(PATCH_FILE, file), CommitOperationAdd(CARD, card)]

        def push() -> str:
            hub = HfApi(library_name="rtd-adapters")
            hub.create_repo(name, private=private, exist_ok=True)
            if place.revision:
                hub.create_branch(name, branch=place.revision, exist_ok=True)
            return hub.create_commit(
                name,
                added,
                commit_message=message or f"{metadata.title[0].upper()}{metadata.title[1:]}",
                revision=place.revision,
            ).commit_url

        return asked(place, push, "pushed to")
