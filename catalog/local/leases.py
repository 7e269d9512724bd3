"""Which weights of a shared folder other daemons use: each has a lease there, a locked file that lists them.

Whoever has the lock is alive: the kernel releases it when its process ends, in every container of this
machine. A lease of another machine, or on a file system without locks, counts until it was not renewed for
EXPIRES_S; both times are those of the file system, so that clocks need not agree.
"""

import errno
import fcntl
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from catalog.local.blob_lock import try_lock
from domain.models.local_model import LocalModel
from domain.text import printable

log = logging.getLogger(__name__)

FOLDER = Path(".locks", "leases")  # beside the hub client's own locks, which no tool takes for a model
EXPIRES_S = 900.0
EXPIRES = f"{EXPIRES_S / 60:g} minutes"
RENEW_S = 60.0
LOCK_TIMEOUT_S, LOCK_POLL_S = 30.0, 0.05  # somebody removes one model meanwhile
LEASE_MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Holder:
    """A daemon. ``boot_id`` tells machines apart; pids are those of ``pid_namespace``."""

    pid: int
    start_ticks: int | None
    boot_id: str | None
    pid_namespace: str | None
    host: str
    user: str
    state_dir: str
    socket: str

    def describe(self, boot_id: str | None) -> str:
        where = "" if self.boot_id == boot_id else f" on {self.host}"
        text = f"the node-daemon of {self.user}{where}, pid {self.pid}, state in {self.state_dir}"
        return printable(text)

    def next_step(self, boot_id: str | None) -> str:
        if self.boot_id == boot_id:
            return printable(f"stop it there first: node-ctl --socket {self.socket} ps")
        return printable(f"stop it on {self.host} first; without that daemon, wait {EXPIRES}")


@dataclass(frozen=True, slots=True)
class Held:
    """What others hold, by the path below the models' folder. ``unreadable`` is a lease of a holder that
    can't be read: it may hold anything."""

    files: Mapping[str, Holder] = field(default_factory=dict)
    unreadable: Path | None = None

    def holder_of(self, names: Iterable[str | None]) -> Holder | None:
        holders = (self.files.get(name) for name in names if name is not None)
        return next((holder for holder in holders if holder is not None), None)

    def may_hold(self, names: Iterable[str | None]) -> bool:
        return self.unreadable is not None or self.holder_of(names) is not None


class Leases:
    """Those in the folder of ``models_dir``. ``is_alive`` says whether the process of a pid and start time
    runs. All methods block; they raise OSError only where they say so."""

    def __init__(self, models_dir: Path, own: Holder, *, is_alive: Callable[[int, int | None], bool]) -> None:
        self.own = own
        self._models_dir = models_dir
        self._folder = models_dir / FOLDER
        self._is_alive = is_alive
        self._file: Path | None = None
        self._descriptor: int | None = None

    def hold(self, paths: Collection[Path]) -> None:
        """Renews the lease, with ``paths`` as all that it holds. Raises: OSError."""
        files = sorted(name for path in paths if (name := self.name(path)) is not None)
        if not files and self._descriptor is None:
            return
        with self._locked():
            descriptor = self._own_file()
            content = json.dumps({**asdict(self.own), "files": files}).encode()
            os.pwrite(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))
            os.utime(descriptor)

    def release(self) -> None:
        """Before the daemon ends: nothing is held any more."""
        if self._descriptor is None or self._file is None:
            return
        with suppress(OSError):
            self._file.unlink()
        os.close(self._descriptor)
        self._file = self._descriptor = None

    @contextmanager
    def removing(self) -> Iterator[Held]:
        """What others hold; while the block runs, nobody takes a lease on more, if the folder can be written.
        Raises: TimeoutError."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._locked())
            except TimeoutError:
                raise
            except OSError as error:
                log.warning("leases not locked: folder=%s %s", self._folder, error)
            yield self.held()

    def held(self) -> Held:
        files: dict[str, Holder] = {}
        unreadable: Path | None = None
        for lease in self._leases():
            if lease == self._file:
                continue
            try:
                if (content := self._read(lease)) is not None:
                    holder, names = content
                    files.update(dict.fromkeys(names, holder))
            except FileNotFoundError:  # its daemon ended meanwhile
                continue
            except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                if self._is_expired(lease):
                    _delete(lease)
                    continue
                log.warning("lease can't be read: file=%s %s", lease, error)
                unreadable = lease
        return Held(files, unreadable)

    def names(self, model: LocalModel) -> tuple[str | None, ...]:
        return tuple(self.name(Path(path)) for file in model.files for path in (file.path, file.real_path))

    def name(self, path: Path) -> str | None:
        """``path`` as leases name it; None for what is not in the folder of the models."""
        for root in (self._models_dir, self._models_dir.resolve()):
            if path.is_relative_to(root):
                return str(path.relative_to(root))
        return None

    def _leases(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if path.suffix == ".lease"]
        except FileNotFoundError:
            return []

    def _read(self, lease: Path) -> tuple[Holder, list[str]] | None:
        """None for one of a holder that is gone, which is deleted. Raises: OSError; ValueError, TypeError,
        KeyError for one that is not written yet, or not by us."""
        descriptor = os.open(lease, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            is_free = try_lock(descriptor, fcntl.LOCK_SH)
            content = json.loads(os.read(descriptor, LEASE_MAX_BYTES))
            files = [str(name) for name in content.pop("files")]
            holder = Holder(**content)
            if is_free is False or self._counts(lease, holder, is_free=is_free is True):
                return holder, files
            _delete(lease)
            return None
        finally:
            os.close(descriptor)

    def _counts(self, lease: Path, holder: Holder, *, is_free: bool) -> bool:
        """Whether the holder of a lease that is not locked, or can't be, may be alive."""
        if holder.boot_id is not None and holder.boot_id == self.own.boot_id:
            if is_free:
                return False
            if holder.pid_namespace == self.own.pid_namespace:
                return self._is_alive(holder.pid, holder.start_ticks)
        return not self._is_expired(lease)

    def _is_expired(self, lease: Path) -> bool:
        """By the clock of the file system: by a file that is touched for it."""
        touched = self._folder / "lock"
        try:
            with suppress(PermissionError):
                os.utime(touched)
            return touched.stat().st_mtime - lease.stat().st_mtime > EXPIRES_S
        except OSError:
            return False

    def _own_file(self) -> int:
        """Open and locked; a new one if somebody removed it."""
        if self._file is not None and self._descriptor is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(self._file.stat(), os.fstat(self._descriptor)):
                    return self._descriptor
            os.close(self._descriptor)
            self._file = self._descriptor = None
        file = self._folder / f"{secrets.token_hex(8)}.lease"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(file, flags, 0o644)
        try:
            os.fchmod(descriptor, 0o644)  # whatever the umask: other users must be able to read it
            _wait_for_lock(descriptor)  # for somebody who looks at it
        except OSError:
            os.close(descriptor)
            raise
        self._file, self._descriptor = file, descriptor
        return descriptor

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time changes leases, or removes what none holds. Raises: OSError."""
        _make_folder(self._folder, like=self._models_dir)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._folder / "lock", flags, 0o666)
        try:
            with suppress(PermissionError):
                os.fchmod(descriptor, stat.S_IMODE(self._folder.stat().st_mode) & 0o666)
            _wait_for_lock(descriptor)
            yield
        finally:
            os.close(descriptor)


def _wait_for_lock(descriptor: int) -> None:
    """Raises: TimeoutError."""
    deadline_s = time.monotonic() + LOCK_TIMEOUT_S
    while try_lock(descriptor, fcntl.LOCK_EX) is False:
        if time.monotonic() > deadline_s:
            raise TimeoutError(errno.ETIMEDOUT, f"locked for {LOCK_TIMEOUT_S:.0f} s")
        time.sleep(LOCK_POLL_S)


def _delete(lease: Path) -> None:
    with suppress(OSError):  # of another user
        lease.unlink()


def _make_folder(folder: Path, *, like: Path) -> None:
    """With the rights of ``like``: the users that share the models share their leases."""
    if folder.is_dir():
        return
    like.mkdir(parents=True, exist_ok=True)
    for path in (folder.parent, folder):
        with suppress(FileExistsError):
            path.mkdir()
            with suppress(PermissionError):  # exFAT and NTFS have no rights to change
                path.chmod(stat.S_IMODE(like.stat().st_mode))
