"""Which targets install what: an owner's environment first, and developers' tools into the same one."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.rigs.systemd.box import ROOT

# In the order in which make writes them.
OWNER, PACKAGES, DEVELOPER = ".ready", ".packages", ".ready-dev"
PARTS = {"scripts/make-venv": OWNER, "--group dev": DEVELOPER}


def installs(folder: Path, target: str) -> list[str]:
    """What ``make`` would make for ``target`` in an environment of which the stamps in ``folder`` tell."""
    command = ["make", "--dry-run", f"VENV={folder}", target]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    made = []
    for line in done.stdout.splitlines():
        if line == "scripts/system-packages":
            made.append(PACKAGES)
        made += [stamp for part, stamp in PARTS.items() if part in line]
    return made


@pytest.mark.parametrize("target", ["venv", "demo", "stop"])
def test_an_owner_installs_no_packages_and_no_tools(tmp_path: Path, target: str):
    assert installs(tmp_path, target) == [OWNER]


@pytest.mark.parametrize("target", ["setup", "check", "test", "test-gpu", "bench"])
def test_developers_install_all_the_systems_packages_first(tmp_path: Path, target: str):
    assert installs(tmp_path, target) == [PACKAGES, OWNER, DEVELOPER]


def test_tools_are_added_to_an_owners_environment(tmp_path: Path):
    (tmp_path / OWNER).touch()
    assert installs(tmp_path, "demo") == []
    assert installs(tmp_path, "test") == [PACKAGES, DEVELOPER]


def test_a_developers_environment_is_an_owners_too(tmp_path: Path):
    for number, stamp in enumerate((PACKAGES, OWNER, DEVELOPER)):
        (tmp_path / stamp).touch()
        os.utime(tmp_path / stamp, (4e9 + number, 4e9 + number))
    assert installs(tmp_path, "demo") == installs(tmp_path, "test") == []


def test_new_requirements_are_installed_for_both(tmp_path: Path):
    for stamp in (PACKAGES, OWNER, DEVELOPER):
        (tmp_path / stamp).touch()
        os.utime(tmp_path / stamp, (1, 1))  # older than pyproject.toml
    assert installs(tmp_path, "demo") == [OWNER]
    assert installs(tmp_path, "test") == [PACKAGES, OWNER, DEVELOPER]
