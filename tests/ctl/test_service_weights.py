"""Weights of a user for the service: moved, nothing there twice, nothing lost."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ctl.service import weights
from ctl.service.weights import Moved, Owner

OWN = Owner(os.getuid(), os.getgid())
BLOB = "models--a--b/blobs/0123"
LINK = "models--a--b/snapshots/main/m.gguf"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A store as the hub's client and downloads lay it out."""
    folder = tmp_path / "theirs"
    for name, text in (
        (BLOB, "w" * 1000),
        ("pypi/llm-1/m.gguf", "v" * 500),
        (".locks/models--a--b/x.lock", ""),
    ):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    (folder / LINK).parent.mkdir(parents=True)
    (folder / LINK).symlink_to("../../blobs/0123")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "service"
    folder.mkdir(mode=0o770)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """On another file system."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        assert Path(folder).stat().st_dev != tmp_path.stat().st_dev
        yield Path(folder)


def move(source: Path, target: Path, *, readable: bool = True) -> Moved:
    return weights.move(source, target, OWN, lambda path: readable)


def test_on_one_file_system_weights_are_renamed_with_their_links(source: Path, target: Path) -> None:
    assert weights.size_bytes(source) == 1500
    inode = (source / BLOB).stat().st_ino
    moved = move(source, target)
    assert (moved.renamed_bytes, moved.copied_bytes, moved.left) == (1500, 0, [])
    assert (target / BLOB).stat().st_ino == inode
    assert (target / LINK).read_text() == "w" * 1000
    assert (target / BLOB).stat().st_mode & 0o040, "the group of the service may read it"
    assert not source.exists(), "no empty folder is left"


def test_on_another_they_are_copied_and_removed(source: Path, elsewhere: Path) -> None:
    moved = move(source, elsewhere)
    assert (moved.renamed_bytes, moved.copied_bytes, moved.left) == (0, 1500, [])
    assert (elsewhere / LINK).read_text() == "w" * 1000
    assert not source.exists()
    assert not list(elsewhere.rglob("*.part"))


def test_without_room_for_a_copy_all_is_left_and_the_numbers_are_told(
    source: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "RESERVE_BYTES", 2**60)
    moved = move(source, elsewhere)
    assert [path for path, _ in moved.left] == [str(source)]
    assert "would be copied to another file system, which has" in moved.left[0][1]
    assert (source / LINK).read_text() == "w" * 1000
    assert list(elsewhere.iterdir()) == []


def test_what_the_service_has_already_is_neither_replaced_nor_lost(source: Path, target: Path) -> None:
    (target / "pypi/llm-1").mkdir(parents=True)
    (target / "pypi/llm-1/m.gguf").write_text("ours")
    moved = move(source, target)
    assert moved.left == [(str(source / "pypi/llm-1/m.gguf"), "the service has a file of that name")]
    assert (target / "pypi/llm-1/m.gguf").read_text() == "ours"
    assert (source / "pypi/llm-1/m.gguf").read_text() == "v" * 500
    assert (target / LINK).exists()
    assert move(source, target).left == moved.left, "once more changes nothing"


def test_a_link_to_what_the_service_can_not_read_is_left(source: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "ollama.gguf").write_text("of another tool")
    link = source / "adopted.gguf"
    link.symlink_to(tmp_path / "ollama.gguf")
    moved = move(source, target, readable=False)
    assert moved.left == [
        (str(link), f"it is a link to {tmp_path}/ollama.gguf, which the service can't read")
    ]
    assert move(source, target).left == []
    assert (target / "adopted.gguf").read_text() == "of another tool"


def test_a_link_in_the_target_does_not_lead_a_file_out_of_it(
    source: Path, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    (target / "pypi").symlink_to(tmp_path / "etc")
    moved = move(source, target)
    assert [path for path, _ in moved.left] == [str(source / "pypi/llm-1/m.gguf")]
    assert list((tmp_path / "etc").iterdir()) == []
