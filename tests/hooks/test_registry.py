"""Plugins are found one by one; a broken one is reported and takes nothing else down."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from types import ModuleType

import click
import pytest

from rtd_adapters import (
    BackboneShape,
    BackboneSource,
    BenchmarkSource,
    Exporter,
    Method,
    hookimpl,
)
from rtd_adapters.errors import UsageError
from rtd_adapters.hooks.kinds import BACKBONE, BENCHMARK, EXPORTER, METHOD
from rtd_adapters.hooks.loading import load_registry
from rtd_adapters.hooks.registry import registry as get_registry


class Stub(Method):
    """A method that does nothing."""

    name = "stub"
    summary = "a stub"
    reference_url = "https://example.org"
    layout = "openai"

    def build_projection(self, shape):
        raise NotImplementedError

    def load_projection(self, path, shape):
        raise NotImplementedError


@dataclass
class Distribution:
    name: str
    version: str = "1.0"


class Entry:
    """An entry point that loads what it is given."""

    def __init__(self, name, loaded, dist="their-plugin"):
        self.name, self.value, self.dist, self._loaded = (
            name,
            f"{name}_module",
            Distribution(dist),
            loaded,
        )

    def load(self):
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def plugin(name: str = "stub", **functions) -> ModuleType:
    """A plugin module with the given hook implementations."""
    module = ModuleType(f"plugin_{name}")
    for attribute, function in functions.items():
        setattr(module, attribute, hookimpl(function))
    return module


def registers(*methods):
    def register_methods(register):
        for method in methods:
            register(method)

    return register_methods


def named(name: str) -> Stub:
    method = Stub()
    method.name = name
    return method


def test_hook_register_methods():
    found = load_registry([Entry("stub", plugin(register_methods=registers(Stub())))])
    assert found.find(METHOD, "stub").summary == "a stub"
    assert found.plugins[0].provides == {"method": ("stub",)}


def test_hook_register_backbones():
    """A backbone of a plugin is loaded by its name, and refuses weights beside its own."""

    class Tiny(BackboneSource):
        name = "tiny"
        summary = "a backbone"

        def load(self):
            raise NotImplementedError

        def shape(self):
            return BackboneShape(1, 2, 3)

    found = load_registry([Entry("tiny", plugin(register_backbones=registers(Tiny())))])
    assert found.find(BACKBONE, "tiny").shape() == BackboneShape(1, 2, 3)
    assert found.find(BACKBONE, "tiny").projection("searle") is None


def test_hook_register_benchmarks():
    source = BenchmarkSource("mine", "a benchmark", lambda name, root, split: (name, root, split))
    found = load_registry([Entry("mine", plugin(register_benchmarks=registers(source)))])
    assert found.find(BENCHMARK, "mine").load("mine", "there", "val") == ("mine", "there", "val")
    assert "cirr" in get_registry().benchmarks  # our own come the same way


def test_hook_register_exporters():
    exporter = Exporter("mine", "type {out}", lambda job: job)
    found = load_registry([Entry("mine", plugin(register_exporters=registers(exporter)))])
    assert found.find(EXPORTER, "mine") is exporter
    assert "searle" in get_registry().exporters  # our own come the same way


@pytest.mark.parametrize("hook", ["backbones", "benchmarks", "exporters"])
def test_what_lacks_a_part_is_refused(hook):
    lacking = Exporter("mine", None, None)
    found = load_registry([Entry("bad", plugin(**{f"register_{hook}": registers(lacking)}))])
    assert "register() takes a" in found.plugins[0].error
    assert not any(found.things.values())


def test_hook_register_commands():
    def register_commands(cli):
        @cli.command("hello")
        def hello():
            click.echo("hello")

    found = load_registry([Entry("stub", plugin(register_commands=register_commands))])
    group = click.Group("rtd")
    found.add_commands(group)
    assert "hello" in group.commands


def test_a_failing_command_hook_is_noted_and_the_others_run():
    def bad(cli):
        raise RuntimeError("boom")

    def good(cli):
        cli.add_command(click.Command("fine"))

    found = load_registry(
        [
            Entry("bad", plugin("bad", register_commands=bad)),
            Entry("good", plugin("good", register_commands=good)),
        ]
    )
    group = click.Group("rtd")
    found.add_commands(group)
    assert "fine" in group.commands
    assert "boom" in found.plugins[0].error


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (ImportError("no module named their_torch"), "their_torch"),
        (plugin("typo", register_method=registers(Stub())), "register_method"),
        (plugin("type", register_methods=registers("not a method")), "Method object"),
        (plugin("argument", register_methods=lambda registre: None), "registre"),
    ],
)
def test_a_broken_plugin_is_reported_and_the_others_load(broken, why):
    found = load_registry(
        [
            Entry("broken", broken, "bad-dist"),
            Entry("stub", plugin(register_methods=registers(Stub()))),
        ]
    )
    assert list(found.methods) == ["stub"]
    failed = next(entry for entry in found.plugins if entry.name == "broken")
    assert why in failed.error
    assert failed.distribution == "bad-dist 1.0"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"composed_prompt": "a photo of $"}, "has no {text}: the conditioning text"),
        ({"composed_prompt": "a photo of $ that {txt}"}, "does not take a text"),
        ({"composed_prompt": "a photo of $ that {text"}, "does not take a text"),
        (
            {"composed_prompt": "a photo that {text}"},
            "composed_prompt 'a photo that {text}' has no",
        ),
        ({"bare_prompt": "a photo"}, "bare_prompt 'a photo' has no placeholder '$'"),
        ({"placeholder": "*"}, "composed_prompt 'a photo of $ that {text}' has no placeholder '*'"),
        ({"bare_prompt": None}, "does not set bare_prompt"),
    ],
)
def test_prompts_that_leave_text_or_reference_out_are_refused(changes, why):
    method = Stub()
    for name, value in changes.items():
        setattr(method, name, value)
    found = load_registry([Entry("stub", plugin(register_methods=registers(method)))])
    assert why in found.plugins[0].error
    assert not found.methods


def test_a_method_without_pseudo_tokens_needs_no_placeholder():
    method = Stub()
    method.needs_projection, method.composed_prompt, method.bare_prompt = False, "{text}", ""
    found = load_registry([Entry("stub", plugin(register_methods=registers(method)))])
    assert list(found.methods) == ["stub"]


def test_strict_mode_raises(monkeypatch):
    monkeypatch.setenv("RTD_STRICT_PLUGINS", "1")
    with pytest.raises(ImportError, match="boom"):
        load_registry([Entry("broken", ImportError("boom"))])


def test_two_plugins_of_one_name_name_both_distributions():
    found = load_registry(
        [
            Entry("one", plugin("one", register_methods=registers(Stub())), "first-dist"),
            Entry("two", plugin("two", register_methods=registers(Stub())), "second-dist"),
        ]
    )
    with pytest.raises(UsageError, match=r"first-dist 1\.0 and second-dist 1\.0"):
        found.find(METHOD, "stub")


def test_unknown_method_suggests_the_nearest():
    found = load_registry(
        [Entry("stub", plugin(register_methods=registers(named("searle"), named("pic2word"))))]
    )
    with pytest.raises(UsageError, match="Did you mean 'searle'") as caught:
        found.find(METHOD, "serle")
    assert "pic2word" in str(caught.value)
    assert caught.value.exit_code == 2


def test_every_hook_has_a_test_here():
    from pathlib import Path

    from rtd_adapters.hooks import specs

    tests = Path(__file__).read_text(encoding="utf-8")
    hooks = [name for name in vars(specs) if name.startswith("register_")]
    assert hooks
    for hook in hooks:
        assert f"def test_hook_{hook}(" in tests


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["methods"], ["patch", "--help"]])
def test_light_commands_import_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from rtd_adapters.cli import cli\n"
        f"cli.main({arguments!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'open_clip', 'peft', 'transformers', 'accelerate', 'numpy', 'PIL'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_completion_imports_no_plugin():
    code = (
        "import sys\n"
        "from rtd_adapters.cli.options import complete_methods\n"
        "assert 'searle' in complete_methods(None, None, 'se')\n"
        "loaded = [name for name in sys.modules if name.startswith(('rtd_plugins', 'torch'))]\n"
        "sys.exit(' '.join(loaded) or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
