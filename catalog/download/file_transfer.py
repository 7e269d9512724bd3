"""One file to this disk: resumed where it stopped, checked by size and digest, given its name only then."""

import errno
import fcntl
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.download.partial_file import PartialFile
from catalog.download.throttle import ClosedError, Throttle
from catalog.hub import files
from catalog.hub.files import FileLocation
from catalog.hub.retry import Patience, TryAgainError, is_busy, retry_after_s
from catalog.local import metadata
from domain.errors import DownloadError
from domain.units import MIB, gib

log = logging.getLogger(__name__)
LOOK_AGAIN_S = 0.5  # at a lock, a full disk, a closed window
ROOM_BYTES = 64 * MIB  # for a file system's own needs
OK, PARTIAL, NO_SUCH_RANGE, REFUSED = 200, 206, 416, (401, 403)
OTHERS = "another process fetches it"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Job:
    """``source`` to ``final``; until it is complete and right the bytes are in ``part``. Who has ``lock``
    may write to it: that is the hub client's own lock, so that its downloads keep off, too."""

    source: FileLocation | str
    part: Path
    final: Path
    lock: Path
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FileProgress:
    """Bytes of a file that are here; ``waiting`` says for what it waits, in words."""

    done_bytes: int
    waiting: str | None = None


def transfer(job: Job, pace: Throttle, free: Callable[[Path], int]) -> Iterator[FileProgress]:
    """How far it is, with each chunk. Closing it keeps what is resumed later.

    Raises: DownloadError, StoppedError, OSError."""
    for path in (job.part, job.final, job.lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(job.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o664)
    try:
        while not is_taken(descriptor):
            yield FileProgress(_size(job.part), OTHERS)
            pace.wait(LOOK_AGAIN_S)
        if not (job.final.is_file() and metadata.is_there(job.final, job.size_bytes)):
            with PartialFile(job.part) as part:
                yield from _One(job, part, pace, free).run()
        yield FileProgress(_size(job.final))
    finally:
        os.close(descriptor)


def is_taken(descriptor: int) -> bool:
    """Whether the lock on an open file or folder is this one's now; closing it gives it back."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


class _One:
    def __init__(self, job: Job, part: PartialFile, pace: Throttle, free: Callable[[Path], int]) -> None:
        self.job, self.part, self.pace, self.free = job, part, pace, free
        self.patience = Patience()

    def run(self) -> Iterator[FileProgress]:
        """What comes wrong is set aside and fetched once more."""
        for done_bytes in self.part.take_up():
            yield FileProgress(done_bytes)
        yield from self._arrive()
        if wrong := self._wrong():
            aside = self._set_aside(wrong)
            yield from self._arrive()
            if again := self._wrong():
                aside = self._set_aside(again)
                raise DownloadError(
                    f"{self.job.final.name} {wrong}, and at a second try {again}",
                    hint=f"the hub, the network or this disk damages it; what came last is {aside}",
                )
            aside.unlink(missing_ok=True)
        self.part.become(self.job.final)
        log.info("arrived: file=%s sha256=%s", self.job.final, self.part.sha256)

    def _set_aside(self, wrong: str) -> Path:
        log.warning("set aside: file=%s %s", self.job.final, wrong)
        aside = self.part.set_aside()
        if self.free(aside.parent) < (self.job.size_bytes or 0) + ROOM_BYTES:
            aside.unlink()  # the second try needs the room
        return aside

    def _wrong(self) -> str:
        job, part = self.job, self.part
        if job.size_bytes is not None and part.done_bytes != job.size_bytes:
            return f"has {part.done_bytes} bytes instead of {job.size_bytes}"
        if job.sha256 is not None and part.sha256 != job.sha256:
            return f"has the sha256 {part.sha256} instead of {job.sha256}"
        return ""

    def _is_whole(self) -> bool:
        return self.job.size_bytes is not None and self.part.done_bytes >= self.job.size_bytes

    def _arrive(self) -> Iterator[FileProgress]:
        """All bytes, through broken connections, busy servers, closed windows and full disks."""
        while not self._is_whole():
            before_bytes = self.part.done_bytes
            try:
                yield from self._bytes()
                self._check_end()
            except TryAgainError as error:
                brought = self.part.done_bytes > before_bytes
                yield from self._later(error, brought_bytes=brought)
            except ClosedError:
                yield from self._until(self.pace.is_open, lambda: self.pace.closed)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                log.warning("disk full: file=%s at=%d", self.job.final, self.part.done_bytes)
                yield from self._until(self._has_room, self._no_room)
            else:
                return

    def _check_end(self) -> None:
        if self.job.size_bytes is not None and not self._is_whole():
            raise TryAgainError(f"it ended {self._left_bytes()} bytes early")

    def _later(self, error: TryAgainError, *, brought_bytes: bool) -> Iterator[FileProgress]:
        wait_s = self.patience.wait_s(error, brought_bytes=brought_bytes)
        done_bytes = self.part.done_bytes
        log.warning("broke off: file=%s at=%d why=%s", self.job.final, done_bytes, error)
        if wait_s is None:
            raise DownloadError(
                f"{self.job.final.name} broke off at {done_bytes} bytes, "
                f"{self.patience.failures} times in a row: {error}",
                hint="ask for it again: what is here is kept",
            ) from error
        if wait_s > LOOK_AGAIN_S:
            yield FileProgress(done_bytes, f"{error}, asked again in {wait_s:.0f} s")
        self.pace.wait(wait_s)

    def _until(self, over: Callable[[], bool], why: Callable[[], str]) -> Iterator[FileProgress]:
        while True:
            yield FileProgress(self.part.done_bytes, why())
            self.pace.wait(LOOK_AGAIN_S)
            if over():
                return

    def _left_bytes(self) -> int:
        return max(0, (self.job.size_bytes or self.part.done_bytes) - self.part.done_bytes)

    def _has_room(self) -> bool:
        return self.free(self.part.path.parent) >= min(self._left_bytes(), ROOM_BYTES)

    def _no_room(self) -> str:
        free = gib(self.free(self.part.path.parent))
        return f"the disk is full: {gib(self._left_bytes())} to come, {free} free"

    def _bytes(self) -> Iterator[FileProgress]:
        if not self.pace.is_open():
            raise ClosedError
        source = self.job.source
        if isinstance(source, str):
            yield from self._by_http(source, of_hub=False)
            return
        remote = files.look(source)
        self._check(source, remote)
        if remote.xet is not None and not self.patience.failures:
            self.part.begin(remote.etag)
            yield from self._written(files.xet_chunks(remote.xet, remote.size_bytes, self.part.done_bytes))
        else:  # xet storage that can't be reached is also offered as plain HTTP
            yield from self._by_http(source.url, of_hub=True)

    def _check(self, place: FileLocation, remote: files.RemoteFile) -> None:
        """The hub has still what its listing told. Raises: DownloadError."""
        job = self.job
        other_size = None not in (job.size_bytes, remote.size_bytes) and job.size_bytes != remote.size_bytes
        tags = (job.sha256, remote.etag)
        known = all(tag and _SHA256.fullmatch(tag) for tag in tags)
        if other_size or (known and job.sha256 != remote.etag):
            raise DownloadError(
                f"{place.name} changed on the hub: {remote.etag} of {remote.size_bytes} bytes "
                f"instead of {job.sha256} of {job.size_bytes}",
                hint="ask for it again: what the repository has now is planned anew",
            )

    def _by_http(self, url: str, *, of_hub: bool) -> Iterator[FileProgress]:
        with files.answered(url, self._range(), of_hub=of_hub) as answer:
            self._begin(answer)
            yield from self._written(answer.iter_raw())  # as it comes: a dropped connection loses nothing

    def _written(self, chunks: Iterator[bytes]) -> Iterator[FileProgress]:
        for piece in files.gathered(chunks):
            self.part.write(piece)
            yield FileProgress(self.part.done_bytes)
            if self.job.size_bytes is not None and self.part.done_bytes > self.job.size_bytes:
                return
            self.pace.passed(len(piece))

    def _range(self) -> dict[str, str]:
        """Without a digest only the server's tag tells that the rest belongs to another version."""
        if not self.part.done_bytes:
            return {}
        wanted = {"Range": f"bytes={self.part.done_bytes}-"}
        if self.job.sha256 is None and self.part.tag:
            wanted["If-Range"] = self.part.tag
        return wanted

    def _begin(self, answer: Any) -> None:
        """Take the answer for what it is: the rest, the whole, or a refusal."""
        status, here = answer.status_code, self.part.done_bytes
        told = answer.headers.get("content-range", "")
        if status == NO_SUCH_RANGE:
            if told == f"bytes */{here}":
                return  # it was whole; its digest tells whether it is right
            self.part.restart()
            raise TryAgainError("the range does not exist any more", 0)
        if is_busy(status):
            raise TryAgainError(f"the server answered {status}", retry_after_s(answer.headers))
        if status not in (OK, PARTIAL):
            raise DownloadError(
                f"{self.job.final.name}: the server answered {status}",
                hint="what is here is kept" if status not in REFUSED else "it wants a token: set HF_TOKEN",
            )
        if status == PARTIAL and not told.startswith(f"bytes {here}-"):
            self.part.restart()
            raise TryAgainError(f"the server sent {told or 'no range'} for {here}-", 0)
        if status == OK and here:
            self.part.restart()
        self.part.begin(answer.headers.get("etag"))
