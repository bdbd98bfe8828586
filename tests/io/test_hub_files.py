"""What names a place on the Hub, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtd_adapters.errors import UsageError
from rtd_adapters.io.hub_files import HubPlace, fetched_file, hub_place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("hf://owner/name", HubPlace("owner/name")),
        ("hf://owner/name@v1.0", HubPlace("owner/name", "v1.0")),
        ("hf://owner/name/a/b.pt", HubPlace("owner/name", None, "a/b.pt")),
        ("hf://owner/n.1@refs%2Fpr%2F3/b.pt", HubPlace("owner/n.1", "refs/pr/3", "b.pt")),
        ("hf://datasets/owner/name@r/t.jsonl", HubPlace("owner/name", "r", "t.jsonl", True)),
        (Path("hf://owner/name/b.pt"), HubPlace("owner/name", None, "b.pt")),
        ("owner/name", HubPlace("owner/name")),
        ("owner/name-v1.5@0123abc", HubPlace("owner/name-v1.5", "0123abc")),
    ],
)
def test_places(text, place):
    assert hub_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "demo",
        "ViT-L-14",
        "a/b/c",
        "folder/weights.safetensors",
        "folder/weights.pt",
        "./name",
        "/a/b",
    ],
)
def test_what_names_none(text):
    assert hub_place(text) is None


def test_what_is_on_this_disk_is_taken_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert hub_place("owner/name") is None
    assert fetched_file("owner/name") == Path("owner/name")


@pytest.mark.parametrize(
    "text", ["hf://", "hf://name", "hf://a/b/../c", "hf://a/b//c", "hf://a/b@"]
)
def test_what_is_no_place_is_refused(text):
    with pytest.raises(UsageError, match="names nothing on the Hub"):
        hub_place(text)


def test_a_repository_is_no_file():
    with pytest.raises(UsageError, match=r"Name the file: hf://owner/name@v1/FILE"):
        fetched_file("hf://owner/name@v1")
