"""A file that is being fetched: what of it counts after a crash, after a power cut, and once it is whole."""

import errno
import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from catalog.download import partial_file
from catalog.download.partial_file import PartialFile
from domain.errors import DownloadError
from domain.units import MIB

BYTES = os.urandom(MIB)


@pytest.fixture(autouse=True)
def often_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_file, "SYNC_EVERY_BYTES", MIB)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.incomplete"


def reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another = tmp_path / "boot_id"
    another.write_text("of another boot\n")
    monkeypatch.setattr(partial_file, "BOOT_ID", another)


def begun(path: Path) -> None:
    """One MiB that was synced, and 1000 bytes that were not."""
    with PartialFile(path) as part:
        part.set_tag('"v1"')
        part.write(BYTES)
    with PartialFile(path) as part:
        list(part.resume())
        part.write(BYTES[:1000])


def notes_of(path: Path) -> dict[str, object]:
    return dict(json.loads(path.with_name(f"{path.name}.json").read_text()))


def test_after_a_crash_of_the_daemon_every_byte_counts(path: Path) -> None:
    begun(path)
    with PartialFile(path) as part:
        assert list(part.resume()) == [MIB, MIB + 1000]
        assert (part.done_bytes, part.tag) == (MIB + 1000, '"v1"')
        assert part.sha256 == hashlib.sha256(BYTES + BYTES[:1000]).hexdigest()


def test_after_a_power_cut_it_goes_on_where_the_last_sync_was(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(path)
    reboot(tmp_path, monkeypatch)
    with PartialFile(path) as part:
        assert list(part.resume()) == [MIB]
        assert (part.done_bytes, part.tag) == (MIB, '"v1"')
        assert part.sha256 == hashlib.sha256(BYTES).hexdigest()
        part.write(b"rest")
    assert path.read_bytes() == BYTES + b"rest"


def test_the_boot_is_the_kernels(path: Path) -> None:
    begun(path)
    kernels = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert notes_of(path) == {"tag": '"v1"', "synced_bytes": MIB, "boot_id": kernels}


def test_where_no_kernel_tells_the_boot_every_byte_counts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_file, "BOOT_ID", tmp_path / "none")
    begun(path)
    with PartialFile(path) as part:
        assert list(part.resume())[-1] == MIB + 1000


@pytest.mark.parametrize(
    ("notes", "kept_bytes"),
    [
        pytest.param('{"boot_id": "another", "synced_bytes": 7}', 7, id="7 bytes were synced"),
        pytest.param('{"boot_id": "another", "synced_bytes": null}', 0, id="nothing was synced"),
        pytest.param('{"boot_id": "another"}', 0, id="an older note"),
        pytest.param('{"boot_id": "another", "synced_bytes": 5000}', 1000, id="more than is there"),
        pytest.param("{", 1000, id="a cut note"),
        pytest.param("[1]", 1000, id="a note of another shape"),
        pytest.param("{}", 1000, id="an empty note"),
    ],
)
def test_what_a_note_leaves_of_a_file(path: Path, notes: str, kept_bytes: int) -> None:
    path.write_bytes(BYTES[:1000])
    path.with_name(f"{path.name}.json").write_text(notes)
    with PartialFile(path) as part:
        list(part.resume())
        assert part.done_bytes == path.stat().st_size == kept_bytes


def test_bytes_are_synced_once_there_are_enough_since_the_last_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(partial_file.os, "fdatasync", lambda _: syncs.append(path.stat().st_size))
    with PartialFile(path) as part:
        part.write(BYTES[:-1])
        assert not part._is_syncing()
        part.write(BYTES[-1:])
        part._join()
        part.write(BYTES[:-1])
        part._join()
        assert syncs == [MIB]
        part.write(BYTES[-1:])
    assert syncs == [MIB, 2 * MIB]
    assert notes_of(path)["synced_bytes"] == 2 * MIB


def test_a_resumed_file_counts_from_where_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(path)
    syncs: list[int] = []
    monkeypatch.setattr(partial_file.os, "fdatasync", syncs.append)
    with PartialFile(path) as part:
        list(part.resume())
        part.write(BYTES[:1000])
        part._join()
    assert syncs == []


def test_a_disk_that_can_t_sync_is_told_and_the_download_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(partial_file.os, "fdatasync", broken)
    with PartialFile(path) as part:
        part.write(BYTES)
    assert f"not synced: file={path}" in caplog.text
    assert path.read_bytes() == BYTES


def test_a_disk_that_takes_less_than_it_is_given_gets_the_rest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(partial_file.os, "write", lambda file, data: write(file, data[:400_000]))
    with PartialFile(path) as part:
        part.write(BYTES)
        assert (part.done_bytes, part.sha256) == (MIB, hashlib.sha256(BYTES).hexdigest())
    assert path.read_bytes() == BYTES


def test_a_restart_drops_bytes_digest_and_tag(path: Path) -> None:
    begun(path)
    with PartialFile(path) as part:
        list(part.resume())
        part.restart()
        assert (part.done_bytes, part.tag, path.stat().st_size) == (0, None, 0)
        part.write(b"anew")
        assert part.sha256 == hashlib.sha256(b"anew").hexdigest()
    assert path.read_bytes() == b"anew"


def test_a_restarted_file_is_synced_as_early_as_a_new_one(path: Path) -> None:
    begun(path)
    with PartialFile(path) as part:
        list(part.resume())
        part.restart()
        part.set_tag(None)
        assert notes_of(path)["synced_bytes"] == 0
        part.write(BYTES)
    assert notes_of(path)["synced_bytes"] == MIB


def test_a_whole_file_is_on_the_disk_before_it_has_its_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "final" / "a.gguf"
    final.parent.mkdir()
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def recorded(file: int) -> None:
        synced.append((Path(f"/proc/self/fd/{file}").readlink().name, final.exists()))
        fsync(file)

    monkeypatch.setattr(partial_file.os, "fsync", recorded)
    with PartialFile(path) as part:
        part.set_tag('"v1"')
        part.write(BYTES)
        part.publish(final)
    assert synced == [("a.incomplete", False), ("final", True)]
    assert final.read_bytes() == BYTES
    assert [one.name for one in tmp_path.iterdir()] == ["final"], "no note is left"


def test_a_file_without_a_note_is_published_too(path: Path, tmp_path: Path) -> None:
    with PartialFile(path) as part:
        part.write(b"small")
        part.publish(tmp_path / "a.gguf")
    assert [one.name for one in tmp_path.iterdir()] == ["a.gguf"]


def test_a_damaged_file_is_kept_and_the_next_bytes_go_to_a_new_one(path: Path, tmp_path: Path) -> None:
    with PartialFile(path) as part:
        part.set_tag('"v1"')
        part.write(BYTES)
        aside = part.set_aside()
        part.write(b"anew")
        assert (part.done_bytes, part.tag) == (4, None)
    assert (aside.name, aside.read_bytes()) == ("a.damaged", BYTES)
    assert path.read_bytes() == b"anew"
    assert {one.name for one in tmp_path.iterdir()} == {"a.damaged", "a.incomplete"}, "its note is gone"


def test_nothing_is_written_through_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    path.symlink_to(target)
    with pytest.raises(DownloadError, match=r"a\.incomplete is a link"):
        PartialFile(path)
    assert target.read_bytes() == b"theirs"


def test_a_closed_file_is_open_no_more(path: Path, tmp_path: Path) -> None:
    with PartialFile(path) as part:
        part.write(BYTES)
        part.set_aside()
    still_open = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [target for target in still_open if target.is_relative_to(tmp_path)]


def test_a_sync_under_way_ends_before_its_file_is_set_aside(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would sync whatever has its number by then."""
    goes_on = threading.Event()
    synced: list[int] = []

    def slow(file: int) -> None:
        goes_on.wait(5)
        synced.append(os.fstat(file).st_ino)

    monkeypatch.setattr(partial_file.os, "fdatasync", slow)
    with PartialFile(path) as part:
        part.write(BYTES)
        inode = path.stat().st_ino
        threading.Timer(0.1, goes_on.set).start()
        part.set_aside()
    assert synced == [inode]
