"""File systems that lack something: what downloads then do in its place, or that they refuse first."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog.download.download import fetch
from catalog.download.partial_file import PartialFile
from catalog.local import delete, inventory
from domain.errors import DownloadError
from tests.catalog.fetched import BIG, content, last, weights
from tests.rigs.hub import Hub, sha256

pytestmark = pytest.mark.usefixtures("quick")


def refuse(number: int) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As exFAT and FAT answer: symlink(2), link(2)."""
    monkeypatch.setattr(os, "symlink", refuse(errno.EPERM))
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))


@pytest.mark.usefixtures("without_links")
def test_without_links_files_are_moved_into_place_as_the_hubs_client_does(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub)
    done = last(fetch(wanted, tmp_path))
    assert content(done) == BIG
    folder = Path(str(done.location))
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    assert list((tmp_path / "models--o--r" / "blobs").iterdir()) == []
    assert sorted(path.name for path in folder.iterdir()) == ["a.gguf", "config.json"]
    hub.requests.clear()
    assert content(last(fetch(wanted, tmp_path))) == BIG
    assert hub.requests == [], "a second pull finds it"
    (model,) = inventory.list_models(tmp_path)
    assert delete.remove(model) == len(BIG)
    assert inventory.list_models(tmp_path) == ()


@pytest.mark.usefixtures("without_links")
def test_without_links_what_another_tool_has_is_fetched(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub)
    last(fetch(wanted, tmp_path / "other"))
    place = tmp_path / "other"
    done = last(fetch(wanted, tmp_path / "own", places=(place,)))
    assert content(done) == BIG


def test_without_locks_and_fsync_a_download_ends_all_the_same(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    monkeypatch.setattr(os, "fdatasync", refuse(errno.EINVAL))
    assert content(last(fetch(weights(hub), tmp_path))) == BIG


def test_a_file_that_the_file_system_can_not_hold_is_refused_before_the_first_byte(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PartialFile, "can_hold", lambda _, size_bytes: size_bytes < len(BIG))
    with pytest.raises(DownloadError, match="holds no files of that size: FAT's end at 4 GiB") as refused:
        last(fetch(weights(hub), tmp_path))
    assert "models_dir" in refused.value.hint
    (part,) = (tmp_path / "models--o--r" / "blobs").glob(
        f"{sha256(BIG)}*.incomplete"
    )  # config.json may have one
    assert part.stat().st_size == 0


def test_the_largest_file_of_a_file_system_is_what_its_seek_takes(tmp_path: Path) -> None:
    """This one has files of 16 TiB or less, and no file is larger than 2^63 bytes."""
    with PartialFile(tmp_path / "a.incomplete") as part:
        assert part.can_hold(1 << 40)
        assert not part.can_hold(1 << 62)
        part.write(b"abc")
    assert (tmp_path / "a.incomplete").read_bytes() == b"abc"
