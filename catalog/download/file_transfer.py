"""Fetches one file: resumes where it stopped, checks size and digest, then gives the file its name."""

import errno
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from catalog.download.job import Job
from catalog.download.partial_file import PartialFile
from catalog.download.throttle import Throttle
from catalog.hub import files
from catalog.hub.errors import is_page
from catalog.hub.files import FileLocation
from catalog.hub.retry import Backoff, TryAgainError, is_busy, retry_after_s
from catalog.local import layout
from catalog.local.blob_lock import try_lock
from domain.download import DownloadProgress
from domain.errors import DownloadError
from domain.units import MIB, gib

log = logging.getLogger(__name__)
POLL_S = 0.5  # for a lock, a full disk
SPARE_BYTES = 64 * MIB  # for the file system's own needs
OK, PARTIAL, NO_SUCH_RANGE, REFUSED = 200, 206, 416, (401, 403)
LOCKED = "another process fetches it"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def transfer(
    job: Job, throttle: Throttle, free: Callable[[Path], int], *, link: Callable[[], None] | None = None
) -> Iterator[DownloadProgress]:
    """Yields progress with each chunk. Closing it keeps the bytes so far, to be resumed. ``link`` is called
    while the lock is held still: a blob without a name would be removed as a leftover.

    Raises: DownloadError, StoppedError, WindowClosedError, OSError."""
    for path in (job.part, job.final, job.lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(job.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o664)
    try:
        while try_lock(descriptor) is False:
            yield DownloadProgress(_size(job.part), job.size_bytes, waiting=LOCKED)
            throttle.wait(POLL_S)
        if not (job.final.is_file() and layout.is_whole(job.final, job.size_bytes)):
            with PartialFile(job.part) as part:
                _check_size(job, part)
                yield from _Transfer(job, part, throttle, free).run()
        final_bytes = _size(job.final)
        if link is not None:
            link()
        yield DownloadProgress(final_bytes, job.size_bytes)
    finally:
        os.close(descriptor)


def _check_size(job: Job, part: PartialFile) -> None:
    """Raises: DownloadError before the first byte."""
    if job.size_bytes is not None and not part.can_hold(job.size_bytes):
        raise DownloadError(
            f"{job.final.name} has {gib(job.size_bytes)}, and the file system of {job.part.parent} "
            "holds no files of that size: FAT's end at 4 GiB",
            hint="set models_dir to a folder on another file system: ext4, btrfs, xfs, exFAT or NTFS",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


class _Transfer:
    def __init__(self, job: Job, part: PartialFile, throttle: Throttle, free: Callable[[Path], int]) -> None:
        self.job, self.part, self.throttle, self.free = job, part, throttle, free
        self.backoff = Backoff()

    def run(self) -> Iterator[DownloadProgress]:
        """A file that does not match its size or digest is set aside and fetched once more."""
        for done_bytes in self.part.resume():
            yield DownloadProgress(done_bytes, self.job.size_bytes)
        yield from self._receive_all()
        if mismatch := self._mismatch():
            aside = self._set_aside(mismatch)
            yield from self._receive_all()
            if second_mismatch := self._mismatch():
                aside = self._set_aside(second_mismatch)
                raise DownloadError(
                    f"{self.job.final.name} {mismatch}, and at a second try {second_mismatch}",
                    hint=f"the hub, the network or this disk damages it; the last copy is {aside}",
                )
            aside.unlink(missing_ok=True)
        self.part.publish(self.job.final)
        log.info("file complete: file=%s sha256=%s", self.job.final, self.part.sha256)

    def _progress(self, waiting: str | None = None) -> DownloadProgress:
        return DownloadProgress(self.part.done_bytes, self.job.size_bytes, waiting=waiting)

    def _set_aside(self, mismatch: str) -> Path:
        log.warning("set aside: file=%s %s", self.job.final, mismatch)
        aside = self.part.set_aside()
        if self.free(aside.parent) < (self.job.size_bytes or 0) + SPARE_BYTES:
            aside.unlink()  # the second try needs the room
        return aside

    def _mismatch(self) -> str:
        """What differs from the listing; empty if nothing does."""
        job, part = self.job, self.part
        if job.size_bytes is not None and part.done_bytes != job.size_bytes:
            return f"has {part.done_bytes} bytes instead of {job.size_bytes}"
        if job.sha256 is not None and part.sha256 != job.sha256:
            return f"has the sha256 {part.sha256} instead of {job.sha256}"
        return ""

    def _is_whole(self) -> bool:
        return self.job.size_bytes is not None and self.part.done_bytes >= self.job.size_bytes

    def _receive_all(self) -> Iterator[DownloadProgress]:
        """All bytes, through broken connections, busy servers and full disks."""
        while not self._is_whole():
            before_bytes = self.part.done_bytes
            try:
                yield from self._receive()
                self._check_end()
            except TryAgainError as error:
                brought = self.part.done_bytes > before_bytes
                yield from self._back_off(error, brought_bytes=brought)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                log.warning("disk full: file=%s at=%d", self.job.final, self.part.done_bytes)
                yield from self._wait_for_room()
            else:
                return

    def _check_end(self) -> None:
        if self.job.size_bytes is not None and not self._is_whole():
            raise TryAgainError(f"it ended {self._left_bytes()} bytes early")

    def _back_off(self, error: TryAgainError, *, brought_bytes: bool) -> Iterator[DownloadProgress]:
        wait_s = self.backoff.wait_s(error, brought_bytes=brought_bytes)
        done_bytes = self.part.done_bytes
        log.warning("transfer interrupted: file=%s at=%d why=%s", self.job.final, done_bytes, error)
        if wait_s is None:
            raise DownloadError(
                f"{self.job.final.name} broke off at {done_bytes} bytes, "
                f"{self.backoff.failures} times in a row: {error}",
                hint="ask for it again: what was fetched is kept",
            ) from error
        if wait_s > POLL_S:
            yield self._progress(f"{error}, asked again in {wait_s:.0f} s")
        self.throttle.wait(wait_s)

    def _wait_for_room(self) -> Iterator[DownloadProgress]:
        while True:
            yield self._progress(self._no_room())
            self.throttle.wait(POLL_S)
            if self._has_room():
                return

    def _left_bytes(self) -> int:
        return max(0, (self.job.size_bytes or self.part.done_bytes) - self.part.done_bytes)

    def _has_room(self) -> bool:
        return self.free(self.part.path.parent) >= min(self._left_bytes(), SPARE_BYTES)

    def _no_room(self) -> str:
        free = gib(self.free(self.part.path.parent))
        return f"the disk is full: {gib(self._left_bytes())} to come, {free} free"

    def _receive(self) -> Iterator[DownloadProgress]:
        self.throttle.check_window()
        source = self.job.source
        if isinstance(source, str):
            yield from self._receive_http(source, of_hub=False)
            return
        remote = files.fetch_metadata(source)
        self._check_unchanged(source, remote)
        if remote.xet is not None and not self.backoff.failures:
            self.part.set_tag(remote.etag)
            yield from self._write(files.xet_chunks(remote.xet, remote.size_bytes, self.part.done_bytes))
        else:  # what xet storage holds is served over plain HTTP, too
            yield from self._receive_http(source.url, of_hub=True)

    def _check_unchanged(self, location: FileLocation, remote: files.RemoteFile) -> None:
        """The hub still has what its listing said. Raises: DownloadError, TryAgainError."""
        job = self.job
        other_size = None not in (job.size_bytes, remote.size_bytes) and job.size_bytes != remote.size_bytes
        if other_size and remote.etag is None:  # the hub tells it of every file
            raise TryAgainError("the hub sent something other than the file")
        comparable = all(tag and _SHA256.fullmatch(tag) for tag in (job.sha256, remote.etag))
        if other_size or (comparable and job.sha256 != remote.etag):
            raise DownloadError(
                f"{location.name} changed on the hub: {remote.etag} of {remote.size_bytes} bytes "
                f"instead of {job.sha256} of {job.size_bytes}",
                hint="ask for it again: what the repository has now is planned anew",
            )

    def _receive_http(self, url: str, *, of_hub: bool) -> Iterator[DownloadProgress]:
        with files.open_response(url, self._range(), of_hub=of_hub) as response:
            self._accept(response)
            yield from self._write(response.iter_raw())  # as received: a dropped connection loses nothing

    def _write(self, chunks: Iterator[bytes]) -> Iterator[DownloadProgress]:
        for piece in files.rechunk(chunks):
            self.part.write(piece)
            yield self._progress()
            if self.job.size_bytes is not None and self.part.done_bytes > self.job.size_bytes:
                return
            self.throttle.consume(len(piece))

    def _range(self) -> dict[str, str]:
        """Without a digest, only the server's tag shows that the rest belongs to another version."""
        if not self.part.done_bytes:
            return {}
        headers = {"Range": f"bytes={self.part.done_bytes}-"}
        if self.job.sha256 is None and self.part.tag:
            headers["If-Range"] = self.part.tag
        return headers

    def _accept(self, response: Any) -> None:
        """Prepares for what the server sends: the rest, the whole file, or a refusal."""
        status, here = response.status_code, self.part.done_bytes
        content_range = response.headers.get("content-range", "")
        if status == NO_SUCH_RANGE:
            if content_range == f"bytes */{here}":
                return  # the file was complete; its digest is compared next
            self.part.restart()
            raise TryAgainError("the range does not exist any more", 0)
        if is_busy(status):
            raise TryAgainError(f"the server answered {status}", retry_after_s(response.headers))
        if status not in (OK, PARTIAL):
            raise DownloadError(
                f"{self.job.final.name}: the server answered {status}",
                hint="set HF_TOKEN to a token with access"
                if status in REFUSED
                else "what was fetched is kept",
            )
        if is_page(response.headers):
            raise TryAgainError("the server sent a page instead of the file")
        if status == PARTIAL and not content_range.startswith(f"bytes {here}-"):
            self.part.restart()
            raise TryAgainError(f"the server sent {content_range or 'no range'} for {here}-", 0)
        if status == OK and here:
            self.part.restart()
        self.part.set_tag(response.headers.get("etag"))
