"""Which engines can run under a user of their own: those whose files are open to that user."""

import os
from pathlib import Path

import pytest

from launchers.command import Command
from launchers.sandbox import unit_access
from launchers.sandbox.policy import Sandbox


@pytest.fixture
def open_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that others reach, as a test's own is not."""
    monkeypatch.setattr(unit_access, "HIDDEN", (str(tmp_path), str(tmp_path / "hidden")))
    monkeypatch.setattr(unit_access, "SHOWN", (str(tmp_path / "models"),))
    for parent in (*tmp_path.parents, tmp_path):
        if parent.stat().st_uid == os.geteuid() and parent.is_relative_to("/tmp"):
            monkeypatch.setattr(unit_access, "HIDDEN", (*unit_access.HIDDEN, str(parent)))
    models = tmp_path / "models"
    models.mkdir()
    models.chmod(0o755)
    return models


def weights(folder: Path, name: str = "m.gguf", *, mode: int = 0o644) -> Path:
    file = folder / name
    file.touch()
    file.chmod(mode)
    return file


def why(sandbox: Sandbox, *words: str, **more: object) -> str | None:
    command = Command(("/bin/true", *words), 1, "m", **more)  # type: ignore[arg-type]
    found = unit_access.why_not(command, {"NODE_DAEMON_ENGINE_OF": "/root"}, sandbox)
    return None if found is None else str(found)


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "scratch", unit="m")


def test_what_others_or_the_daemon_s_group_may_read_is_open(open_to_all: Path, sandbox: Sandbox) -> None:
    assert why(sandbox, "-m", str(weights(open_to_all))) is None
    assert why(sandbox, "-m", str(weights(open_to_all, mode=0o640))) is None
    closed = weights(open_to_all, mode=0o600)
    assert why(sandbox, "-m", str(closed)) == f"{closed} is not open to other users"


def test_a_closed_folder_above_and_a_closed_file_behind_a_link_count(
    open_to_all: Path, sandbox: Sandbox
) -> None:
    inner = open_to_all / "inner"
    inner.mkdir()
    file = weights(inner)
    inner.chmod(0o700)
    assert why(sandbox, str(file)) is not None
    inner.chmod(0o755)
    assert why(sandbox, str(file)) is None
    weights(open_to_all, "blob", mode=0o600)
    link = inner / "linked.gguf"
    link.symlink_to(open_to_all / "blob")
    assert why(sandbox, str(link)) is not None


def test_every_part_of_a_split_model_is_looked_at(open_to_all: Path, sandbox: Sandbox) -> None:
    first = weights(open_to_all, "m-00001-of-00002.gguf")
    weights(open_to_all, "m-00002-of-00002.gguf", mode=0o600)
    assert why(sandbox, str(first)) is not None


def test_what_the_unit_hides_is_not_open(open_to_all: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    assert why(sandbox, str(weights(tmp_path, "template.jinja"))) is not None
    del open_to_all


def test_connections_and_folders_to_write_are_not_the_unit_s(open_to_all: Path, sandbox: Sandbox) -> None:
    assert why(sandbox, connects=None) == "it opens connections of its own, which the unit does not allow"
    assert why(sandbox, connects=(50052,)) is not None
    assert why(sandbox, writes=(str(open_to_all),)) == f"its options have it write to {open_to_all}"
