"""``make demo`` by an unprivileged user on a Debian with Python, git and make, and no compiler."""

import subprocess
from pathlib import Path

import pytest

from tests.rigs import bare
from tests.rigs.systemd.box import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(900)]  # two downloads of 100 MB

BUNDLE = Path("/srv/node-daemon.bundle")
# HOME is empty and $XDG_RUNTIME_DIR is not set, as after su or in a container; no other user can read a file.
VISIT = f"""
umask 077
cd "$HOME"
git -c advice.detachedHead=false clone --quiet {BUNDLE} node-daemon
cd node-daemon
make demo >../demo 2>&1
.venv/bin/python -m pip freeze --all >../installed
make stop >../stop 2>&1
cd /proc
echo [0-9]* >"$HOME/processes"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it was done, with what was printed in the home folder."""
    root = tmp_path_factory.mktemp("bare") / "root"
    root.mkdir()
    bare.fill(root)
    bundle = root / BUNDLE.relative_to("/")
    bundle.parent.mkdir(exist_ok=True)
    subprocess.run(["git", "bundle", "create", "--quiet", bundle, "HEAD"], cwd=ROOT, check=True)
    bundle.chmod(0o644)
    settings = bare.pip_settings()
    done = bare.run(root, VISIT, bare.paths_in(settings), settings)
    told = "".join(f"{name}:\n{read(root, name)}" for name in ("demo", "stop"))
    assert done.returncode == 0, told + done.stdout + done.stderr
    return root


def read(root: Path, name: str) -> str:
    path = root / bare.HOME.relative_to("/") / name
    return path.read_text() if path.exists() else ""


def test_the_model_answers(root: Path):
    assert "Paris" in read(root, "demo")


def test_make_stop_leaves_no_process(root: Path):
    assert "stopped" in read(root, "stop")
    assert read(root, "processes").split() == ["1"], "the shell alone"


def test_nothing_is_installed_that_only_developers_need(root: Path):
    installed = {line.partition("==")[0].lower() for line in read(root, "installed").splitlines()}
    assert "fastapi" in installed
    assert not installed & {"pytest", "ruff", "mypy", "hypothesis", "import-linter", "blockbuster", "gguf"}


def test_there_was_no_compiler_and_no_library_of_one(root: Path):
    programs = {path.name for path in (root / "usr/bin").iterdir()}
    assert "python3" in programs
    assert not programs & {"cc", "gcc", "c++", "clang", "sudo"}
    assert not list((root / "usr/lib").rglob("libgomp*"))
