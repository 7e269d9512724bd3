"""Which Python makes the environment, and what an owner is told where none can."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.rigs.systemd.box import ROOT

DEBIAN_11 = "ID=debian\nVERSION_ID=11\nVERSION_CODENAME=bullseye\n"
DEBIAN_12 = (
    'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
)
UBUNTU_22 = "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=jammy\nUBUNTU_CODENAME=jammy\n"
UBUNTU_24 = "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n"
MINT_21 = 'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=virginia\nUBUNTU_CODENAME=jammy\n'
FEDORA = "ID=fedora\nVERSION_ID=42\n"
ROCKY = 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'
ARCH = "ID=arch\nBUILD_ID=rolling\n"
NIX = "ID=nixos\n"
WITH_UV = 'uv python install 3.12 && make venv PYTHON="$(uv python find 3.12)" # uv: docs.astral.sh/uv'

# Answers what scripts/make-venv asks, as a Python of that version does, and makes an environment of the same.
PYTHON = """#!/bin/sh
case "$*" in
*sys.exit*) exit {old} ;;
*print*) echo {version} ;;
*ensurepip*) {without} exit 0 ;;
"-m venv "*) {unable} mkdir -p "$3/bin" && echo "$0" >"$3/made-by" && {without_pip} cp "$0" "$3/bin/pip" ;;
esac
"""


class Machine:
    """A PATH with the shell's tools and chosen Pythons only."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.os_release, self.venv = folder / "bin", folder / "os-release", folder / "venv"
        self.bin.mkdir()
        for tool in ("sh", "mkdir", "cp"):
            (self.bin / tool).symlink_to(f"/bin/{tool}")

    def add(
        self, name: str, version: str, *, venv: bool = True, works: bool = True, pip: bool = True
    ) -> None:
        text = PYTHON.format(
            version=version,
            old=int(int(version.partition(".")[2]) < 11),
            without="" if venv else "exit 1;",
            unable="" if works else "echo 'no space left'; exit 1;",
            without_pip="" if pip else "exit 0;",
        )
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def make(self, os_release: str = DEBIAN_12, **env: str) -> subprocess.CompletedProcess[str]:
        self.os_release.write_text(os_release)
        return subprocess.run(
            [ROOT / "scripts/make-venv", self.venv, self.os_release],
            env={"PATH": str(self.bin), **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def refused(self, os_release: str = DEBIAN_12, **env: str) -> tuple[str, str]:
        """The line and the command."""
        done = self.make(os_release, **env)
        assert done.returncode == 1
        assert done.stdout == ""
        *before, line, command = done.stderr.splitlines()
        assert not before, "one line, and a command"
        return line, command.strip()

    def made_by(self, **env: str) -> str:
        done = self.make(**env)
        assert done.returncode == 0, done.stderr
        assert done.stdout + done.stderr == ""
        return Path((self.venv / "made-by").read_text().strip()).name


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("os_release", "command"),
    [
        pytest.param(DEBIAN_12, "sudo apt-get install python3 python3-venv", id="Debian 12"),
        pytest.param(DEBIAN_11, WITH_UV, id="Debian 11 has none"),
        pytest.param(UBUNTU_24, "sudo apt-get install python3 python3-venv", id="Ubuntu 24.04"),
        pytest.param(UBUNTU_22, "sudo apt-get install python3.11 python3.11-venv", id="Ubuntu 22.04"),
        pytest.param(MINT_21, "sudo apt-get install python3.11 python3.11-venv", id="Mint 21"),
        pytest.param(FEDORA, "sudo dnf install python3.12", id="Fedora"),
        pytest.param(ROCKY, "sudo dnf install python3.12", id="Rocky"),
        pytest.param(ARCH, "sudo pacman -Syu python", id="Arch"),
        pytest.param(NIX, WITH_UV, id="another"),
        pytest.param("", WITH_UV, id="no os-release"),
    ],
)
def test_a_python_that_is_too_old_is_told_with_how_to_get_another(
    machine: Machine, os_release: str, command: str
):
    machine.add("python3", "3.9")
    assert machine.refused(os_release) == (
        "Python 3.11 or newer is needed, and python3 is 3.9; type:",
        command,
    )


@pytest.mark.parametrize(
    ("os_release", "command"),
    [
        pytest.param(DEBIAN_12, "sudo apt-get install python3.11-venv", id="Debian"),
        pytest.param(UBUNTU_24, "sudo apt-get install python3.11-venv", id="Ubuntu"),
        pytest.param(FEDORA, "sudo dnf install python3 python3-pip", id="Fedora"),
        pytest.param(ARCH, "sudo pacman -Syu python", id="Arch"),
        pytest.param(NIX, WITH_UV, id="another"),
    ],
)
def test_a_python_without_venv_is_told_with_the_package_that_has_it(
    machine: Machine, os_release: str, command: str
):
    machine.add("python3", "3.11", venv=False)
    assert machine.refused(os_release) == ("python3 has no module venv or ensurepip; type:", command)


def test_no_python_at_all_is_told(machine: Machine):
    line, command = machine.refused()
    assert line == "Python 3.11 or newer is needed, and python3 was not found; type:"
    assert command == "sudo apt-get install python3 python3-venv"


def test_the_package_fits_the_python_that_lacks_it(machine: Machine):
    machine.add("python3", "3.10")
    machine.add("python3.12", "3.12", venv=False)
    assert machine.refused(UBUNTU_22) == (
        "python3.12 has no module venv or ensurepip; type:",
        "sudo apt-get install python3.12-venv",
    )


@pytest.mark.parametrize("newer", ["python3.11", "python3.12", "python3.13"])
def test_a_newer_python_is_used_where_python3_is_too_old(machine: Machine, newer: str):
    machine.add("python3", "3.10")
    machine.add(newer, newer.removeprefix("python"))
    assert machine.made_by() == newer


def test_a_newer_python_is_used_where_python3_has_no_venv(machine: Machine):
    machine.add("python3", "3.11", venv=False)
    machine.add("python3.12", "3.12")
    assert machine.made_by() == "python3.12"


def test_python3_comes_first(machine: Machine):
    machine.add("python3", "3.11")
    machine.add("python3.13", "3.13")
    assert machine.made_by() == "python3"


def test_the_python_that_is_asked_for_is_used_or_refused(machine: Machine):
    machine.add("python3", "3.11")
    machine.add("python3.12", "3.12")
    machine.add("mine", "3.8")
    assert machine.made_by(PYTHON="python3.12") == "python3.12"
    line, _ = machine.refused(PYTHON="mine")
    assert line == "Python 3.11 or newer is needed, and mine is 3.8; type:"


def test_an_environment_without_pip_is_told(machine: Machine):
    machine.add("python3", "3.13", pip=False)
    line, command = machine.refused(FEDORA)
    assert line == f"python3 made no environment with pip in {machine.venv}; type:"
    assert command == "sudo dnf install python3 python3-pip"


def test_what_venv_says_when_it_fails_is_shown(machine: Machine):
    machine.add("python3", "3.13", works=False)
    done = machine.make()
    assert done.returncode == 1
    assert done.stderr.startswith("no space left\npython3 made no environment")


@pytest.mark.parametrize("target", ["venv", "demo", "setup"])
def test_make_says_the_same_and_goes_no_further(machine: Machine, tmp_path: Path, target: str):
    machine.add("python3", "3.9")
    (machine.bin / "id").symlink_to("/usr/bin/id")
    done = subprocess.run(
        ["/usr/bin/make", f"VENV={tmp_path / 'none'}", "-o", f"{tmp_path / 'none'}/.packages", target],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key == "HOME"} | {"PATH": str(machine.bin)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Python 3.11 or newer is needed, and python3 is 3.9; type:\n")
    assert done.stdout == ""
    assert not (tmp_path / "none").exists()
