"""Where the cache lies: the user's word, then the desktop's, then the home folder."""

from __future__ import annotations

from pathlib import Path

from rtd_adapters.io.cache import cache_root


def test_each_setting_goes_before_the_next(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("RTD_CACHE", "/chosen")
    assert cache_root() == Path("/chosen")
    monkeypatch.setenv("RTD_CACHE", "")
    assert cache_root() == Path("/xdg/rtd-adapters")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path("/home/somebody/.cache/rtd-adapters")
