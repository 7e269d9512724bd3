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
    return weights.move(source, target, OWN, lambda path: readable, uid=OWN.uid)


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


def test_what_is_not_the_users_is_left(source: Path, target: Path) -> None:
    """A hard link to a file of root, say: it would come to belong to the service."""
    moved = weights.move(source, target, OWN, lambda path: True, uid=OWN.uid + 1)
    assert {why for _, why in moved.left} == {f"it belongs to the user {OWN.uid}"}
    assert (source / LINK).read_text() == "w" * 1000


def test_a_file_that_another_name_leads_to_keeps_its_owner(
    source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").hardlink_to(source / BLOB)
    changed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda descriptor, uid, gid: changed.append((uid, gid)))
    move(source, target)
    assert (-1, OWN.gid) in changed


SECRET_MODE = 0o600


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Of root, say: neither its content nor its rights may reach the service."""
    path = tmp_path / "secret"
    path.write_text("s" * 1000)
    path.chmod(SECRET_MODE)
    return path


def check_untouched(secret: Path, *places: Path) -> None:
    assert secret.read_text() == "s" * 1000
    assert secret.stat().st_mode & 0o777 == SECRET_MODE
    for place in places:
        assert not [path for path in place.rglob("*") if path.is_file() and "s" * 9 in path.read_text()]


@pytest.mark.parametrize("is_hard", [False, True])
@pytest.mark.parametrize("moment", ["open", "rename"])
def test_a_file_that_is_swapped_while_it_is_moved_is_left(
    source: Path,
    target: Path,
    secret: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    is_hard: bool,
) -> None:
    """Swapped between the look at it and its opening, and between that and its rename."""
    real = getattr(os, moment)

    def swapped(name: str | Path, *args: object, **kwargs: object) -> object:
        if name == Path(BLOB).name:
            (source / BLOB).unlink()
            if is_hard:
                (source / BLOB).hardlink_to(secret)
            else:
                (source / BLOB).symlink_to(secret)
            monkeypatch.setattr(os, moment, real)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(os, moment, swapped)
    moved = move(source, target)
    assert (str(source / BLOB), weights.CHANGED) in moved.left
    check_untouched(secret, target)
    assert not os.path.lexists(target / BLOB)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_folder_that_is_swapped_for_a_link_is_not_entered(
    source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """After its files were listed: by the user on one side, by the service on the other."""
    (outside := tmp_path / "outside").mkdir()
    (outside / "0123").write_text("s" * 1000)
    real = weights._check_link

    def swap(path: Path, *rest: object) -> None:
        if path == source / BLOB:
            folder = (source if side == "source" else target) / Path(BLOB).parent
            if side == "source":
                folder.rename(folder.with_name("away"))
            folder.parent.mkdir(exist_ok=True)
            folder.symlink_to(outside)
        real(path, *rest)

    monkeypatch.setattr(weights, "_check_link", swap)
    moved = move(source, target)
    assert [why for path, why in moved.left if path == str(source / BLOB)] == [
        f"blobs leads out of {source if side == 'source' else target}"
    ]
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("0123", "s" * 1000)]


def test_what_is_copied_is_what_was_opened(
    source: Path, elsewhere: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = weights._copy

    def swap(descriptor: int, final: object, *rest: object) -> None:
        if os.fstat(descriptor).st_size == 1000:
            (source / BLOB).unlink()
            (source / BLOB).symlink_to(secret)
        real(descriptor, final, *rest)

    monkeypatch.setattr(weights, "_copy", swap)
    move(source, elsewhere)
    assert (elsewhere / BLOB).read_text() == "w" * 1000
    check_untouched(secret, elsewhere)
    assert os.path.lexists(source / BLOB), "what it was swapped for is not ours to remove"


def test_no_bit_that_gives_rights_is_taken_over(source: Path, target: Path) -> None:
    (source / BLOB).chmod(0o6755)
    move(source, target)
    assert (target / BLOB).stat().st_mode & 0o7777 == 0o755


def test_an_empty_folder_of_another_user_stays(source: Path, target: Path) -> None:
    """models_dir is what the user's settings say: it may be any folder."""
    (source / "empty").mkdir()
    weights.move(source, target, OWN, lambda path: True, uid=OWN.uid + 1)
    assert (source / "empty").is_dir()
