"""One file over HTTP: resumed where it stopped, checked by size and digest, renamed only then."""

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from domain.errors import DownloadError
from domain.units import MIB

log = logging.getLogger(__name__)
CHUNK_BYTES = MIB
REPORT_EVERY_S = 0.2
TIMEOUT_S = 10.0
TRIES = 5
RETRY_AFTER_S = 0.5
RETRY_AFTER_MAX_S = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """``url`` to ``final``; until it is complete and right the bytes are in ``part``."""

    url: str
    part: Path
    final: Path
    size_bytes: int | None = None
    sha256: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class _TryAgainError(Exception):
    """The server asks for patience, or for another start."""

    def __init__(self, why: str, after_s: float) -> None:
        super().__init__(why)
        self.after_s = min(after_s, RETRY_AFTER_MAX_S)


def transfer(job: Job) -> Iterator[int]:
    """Bytes of the file that are here, several times a second. Closing it keeps what is resumed later.

    Raises: DownloadError, OSError."""
    job.part.parent.mkdir(parents=True, exist_ok=True)
    job.final.parent.mkdir(parents=True, exist_ok=True)
    with _alone(job.part) as file:
        run = _Run(job, file)
        yield from run.take_up()
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True) as client:
            yield from _with_retries(run, client)
        run.finish()
    yield run.done_bytes


def _with_retries(run: "_Run", client: httpx.Client) -> Iterator[int]:
    """Only TRIES in a row that bring nothing at all give up."""
    failures = 0
    while not run.is_complete():
        before_bytes = run.done_bytes
        try:
            yield from run.stream(client)
        except (httpx.HTTPError, _TryAgainError) as error:
            failures = failures + 1 if run.done_bytes <= before_bytes else 1
            log.warning("transfer broke off: file=%s at=%d why=%r", run.job.final, run.done_bytes, error)
            if failures >= TRIES:
                raise DownloadError(
                    f"{run.job.final.name} broke off at {run.done_bytes} bytes, {TRIES} times: {error!r}",
                    hint="try again: what is here is kept",
                ) from error
            wait_s = error.after_s if isinstance(error, _TryAgainError) else RETRY_AFTER_S * failures
            yield from run.wait(wait_s)
        else:
            return


class _Run:
    """The state of one transfer: how much is here, and the digest of that much."""

    def __init__(self, job: Job, file: IO[bytes]) -> None:
        self.job = job
        self.done_bytes = 0
        self._file = file
        self._digest = hashlib.sha256()
        self._told_s = time.monotonic()

    def take_up(self) -> Iterator[int]:
        """What an earlier transfer left: read again, for its digest."""
        while data := self._file.read(CHUNK_BYTES):
            self._digest.update(data)
            self.done_bytes += len(data)
            yield from self._tell()
        yield self.done_bytes

    def is_complete(self) -> bool:
        return self.job.size_bytes is not None and self.done_bytes >= self.job.size_bytes

    def stream(self, client: httpx.Client) -> Iterator[int]:
        """One request, from where the file ends to the end."""
        headers = {**self.job.headers, "Accept-Encoding": "identity", **self._range()}
        with client.stream("GET", self.job.url, headers=headers) as answer:
            self._begin(answer)
            for data in answer.iter_raw():  # as it comes: a dropped connection loses nothing
                self._file.write(data)
                self._digest.update(data)
                self.done_bytes += len(data)
                if self.job.size_bytes is not None and self.done_bytes > self.job.size_bytes:
                    break
                yield from self._tell()
        yield self.done_bytes

    def _tell(self) -> Iterator[int]:
        if time.monotonic() - self._told_s >= REPORT_EVERY_S:
            self._told_s = time.monotonic()
            yield self.done_bytes

    def wait(self, seconds: float) -> Iterator[int]:
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, REPORT_EVERY_S))
            yield self.done_bytes

    def finish(self) -> None:
        """Checks, and the final name. What is wrong is not kept. Raises: DownloadError."""
        found, job = self._digest.hexdigest(), self.job
        problem = ""
        if job.size_bytes is not None and self.done_bytes != job.size_bytes:
            problem = f"has {self.done_bytes} bytes instead of {job.size_bytes}"
        elif job.sha256 is not None and found != job.sha256:
            problem = f"has the sha256 {found} instead of {job.sha256}"
        if problem:
            job.part.unlink()
            raise DownloadError(f"{job.final.name} {problem}", hint="try again: it was thrown away")
        self._file.flush()
        os.fsync(self._file.fileno())
        job.part.replace(job.final)
        self._tag_path.unlink(missing_ok=True)
        log.info("transfer complete: file=%s bytes=%d sha256=%s", job.final, self.done_bytes, found)

    @property
    def _tag_path(self) -> Path:
        """The server's tag of the bytes in the part, where no digest would tell that they changed."""
        return self.job.part.with_name(f"{self.job.part.name}.tag")

    def _range(self) -> dict[str, str]:
        if not self.done_bytes:
            return {}
        wanted = {"Range": f"bytes={self.done_bytes}-"}
        if self.job.sha256 is None and self._tag_path.is_file():
            wanted["If-Range"] = self._tag_path.read_text()
        return wanted

    def _begin(self, answer: httpx.Response) -> None:
        """Take the answer for what it is: the rest, the whole, or a refusal."""
        status = answer.status_code
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if answer.headers.get("content-range") == f"bytes */{self.done_bytes}":
                return  # it was complete; its digest tells whether it is right
            self._restart()
            raise _TryAgainError("the range does not exist any more", 0)
        if status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT) or status >= 500:
            after = answer.headers.get("retry-after", "")
            raise _TryAgainError(f"the server answered {status}", float(after) if after.isdigit() else 1.0)
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise DownloadError(
                f"{self.job.final.name}: the server answered {status}",
                hint="a gated repository wants its licence accepted and HF_TOKEN set"
                if status in (401, 403)
                else "",
            )
        if status == httpx.codes.OK and self.done_bytes:
            self._restart()
        if tag := answer.headers.get("etag"):
            self._tag_path.write_text(tag)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.done_bytes = 0


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """The part file, held against a second transfer of the same file."""
    with part.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadError(
                f"{part.name} is being fetched by another process", hint="wait for it"
            ) from error
        file.seek(0)
        yield file
