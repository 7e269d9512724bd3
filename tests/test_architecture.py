"""The architecture as a test: sizes, names, and tools that fail when somebody breaks a rule."""

import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.conftest import ROOMS, ROOT

OURS = {*ROOMS, "tests", "systemd"}
LINES = 300


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def test_no_file_is_longer_than_a_reader_can_hold():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py", "*.c", "*.sh")
        if (lines := len(path.read_text().splitlines())) > LINES
    }
    assert long == {}


def test_every_module_says_in_its_first_line_what_it_is_for():
    silent = [
        str(path.relative_to(ROOT))
        for path in tracked("*.py")
        if (text := path.read_text().removeprefix("#!/usr/bin/env python3\n")) and not text.startswith('"""')
    ]
    assert silent == []


PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "*/README.md", "*/*/README.md")
FOLDER_LIMIT = 14  # modules; what is one list of a kind (checks, commands, graph) may be longer
LISTS = {"daemon/doctor/checks", "ctl/commands", "planner/llama_cpp/graph"}


def test_every_path_that_a_page_names_exists():
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in tracked(*PAGES)
        for path in re.findall(r"`([\w/.]+/[\w.]*)`", page.read_text())
        if path.split("/")[0] in OURS and "NAME" not in path and not (ROOT / path).exists()
    ]
    assert missing == []


def test_every_link_of_a_page_leads_to_a_file_and_its_heading():
    def anchors(page: Path) -> set[str]:
        """As GitHub and GitLab make them."""
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def leads(page: Path, file: str, anchor: str) -> bool:
        target = (page.parent / file).resolve() if file else page
        return target.exists() and (target.suffix != ".md" or not anchor or anchor in anchors(target))

    dead = [
        f"{page.relative_to(ROOT)}: {file}#{anchor}"
        for page in tracked(*PAGES)
        for file, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text())
        if not leads(page, file, anchor)
    ]
    assert dead == []


def test_a_folder_holds_one_subject():
    folders = Counter(
        str(path.parent.relative_to(ROOT))
        for path in tracked("*.py")
        if path.name != "__init__.py" and path.relative_to(ROOT).parts[0] in ROOMS
    )
    assert {
        folder: count for folder, count in folders.items() if count > FOLDER_LIMIT and folder not in LISTS
    } == {}


def test_no_other_distribution_ships_one_of_our_names():
    owners = {name: set(packages_distributions().get(name, [])) for name in OURS}
    assert {name: found - {"node-daemon"} for name, found in owners.items() if found - {"node-daemon"}} == {}


PLANTS = [
    pytest.param("probes/planted.py", '"""Bad."""\n\nimport os,sys\n', "ruff check", id="ruff: lint"),
    pytest.param("probes/planted.py", '"""Bad."""\n\nX = {  "a":1 }\n', "ruff format", id="ruff: format"),
    pytest.param("domain/planted.py", '"""Bad."""\n\nX: int = "one"\n', "mypy", id="mypy: a wrong type"),
    pytest.param(
        "domain/planted.py",
        '"""Bad."""\n\n\ndef planted(x: dict) -> None:\n    x.clear()\n',
        "mypy",
        id="mypy: strict, a bare generic",
    ),
    pytest.param(
        "planner/planted.py",
        '"""Bad."""\n\nfrom catalog import names\n\n__all__ = ["names"]\n',
        "lint-imports",
        id="import-linter: a sibling",
    ),
    pytest.param(
        "domain/planted.py",
        '"""Bad."""\n\nimport httpx\n\n__all__ = ["httpx"]\n',
        "lint-imports",
        id="import-linter: a library in domain",
    ),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tracked tree, to plant violations in."""
    for path in tracked("*.py", "*.toml", "*.txt", "Makefile", "scripts/*", "README.md", "LICENSE"):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return tmp_path


def make_check(folder: Path) -> subprocess.CompletedProcess[str]:
    """``make check`` there, with this environment's tools."""
    environment = Path(sys.executable).parent.parent
    command = ["make", "-o", "setup", "check", f"VENV={environment}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "text", "tool"), PLANTS)
def test_make_check_fails_on_a_planted_violation(copy: Path, path: str, text: str, tool: str):
    (copy / path).write_text(text)
    done = make_check(copy)
    assert done.returncode != 0
    commands = [line for line in done.stdout.splitlines() if f"/{tool.split(maxsplit=1)[0]}" in line]
    assert tool in commands[-1], "another tool stopped it first:\n" + done.stdout + done.stderr
    assert "planted" in done.stdout + done.stderr


def test_the_wheel_carries_the_data_that_the_program_reads(tmp_path: Path):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for room in ROOMS:
        data = {
            str(path.relative_to(ROOT))
            for path in tracked(f"{room}/*")
            if path.suffix in {".sql", ".toml", ".json"}
        }
        assert data <= names
    assert "ctl/units/node-daemon.service" in names
    assert not any(name.startswith("tests/") for name in names)
