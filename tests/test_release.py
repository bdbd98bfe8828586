"""What is released is whole, says the same everywhere, and can be read where it is shown."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import rtd_adapters

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings there

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Homepage"]
PYTHONS = [
    line.rpartition(" ")[2]
    for line in PROJECT["classifiers"]
    if re.search(r"Python :: 3\.\d+$", line)
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def setuptools(*arguments: str) -> None:
    """What a build does with this source tree."""
    code = "import setuptools, sys; setuptools.setup(script_args=sys.argv[1:])"
    subprocess.run(
        [sys.executable, "-c", code, "--quiet", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


def git_files(*arguments: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).exists()}


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git"), reason="needs a git checkout"
)
def test_the_source_distribution_holds_every_file_of_the_repository_and_no_other(tmp_path):
    setuptools("egg_info", "--egg-base", str(tmp_path))
    (sources,) = tmp_path.glob("*.egg-info/SOURCES.txt")
    held = {
        name
        for name in sources.read_text(encoding="utf-8").splitlines()
        if ".egg-info/" not in name
    }
    assert git_files() - held == set()
    assert held - git_files("--cached", "--others", "--exclude-standard") == set()


def workflow(name: str) -> dict:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))


def test_every_python_that_is_declared_is_tested():
    (floor,) = re.findall(r"^>=(3\.\d+)$", PROJECT["requires-python"])
    assert PYTHONS[0] == floor
    assert [int(p[2:]) for p in PYTHONS] == list(range(int(floor[2:]), int(PYTHONS[-1][2:]) + 1))
    assert workflow("tests.yml")["jobs"]["newest"]["strategy"]["matrix"]["python"] == PYTHONS


def test_the_version_is_stated_once_and_the_citation_agrees():
    assert PROJECT["dynamic"] == ["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == rtd_adapters.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == REPOSITORY
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]


def test_links_of_the_index_page_lead_out_of_it():
    """The package index shows README.md without the files around it."""
    targets = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert targets
    assert [t for t in targets if not t.startswith(("https://", "#"))] == []


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_links_into_the_repository_name_files_that_it_has(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    own = re.compile(re.escape(REPOSITORY) + r"/(?:blob|tree|raw)/main/([^)#\s]+)")
    for target in own.findall(text):
        assert (ROOT / target).exists(), target


def test_the_tests_that_the_security_policy_names_exist():
    named = re.findall(r"`([\w/]+/test_\w+\.py)`", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []


def test_commits_are_checked_as_ci_checks_them():
    settings = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    (hooks,) = (repository["hooks"] for repository in settings["repos"])
    checks = [line for line in lines[lines.index("ruff check .") :] if not line.startswith("p")]
    assert [hook["entry"] for hook in hooks] == checks  # beside pip's and pytest's lines
