"""What /proc tells about an engine: its identity, its processes, their memory, OOM kills in its cgroup.

psutil is not used: it gives start times as seconds since the epoch, which move when the clock is set
(identities on disk are ticks since boot), no session ids, and not the parts of RSS that ``held_bytes``
needs. ``os.getsid`` tells session members from 224 processes in 0.2 ms, psutil's process_iter needs 5 ms.
"""

import os
import resource
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from signal import Signals

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SHARED_MEMORY = "/dev/shm/"  # noqa: S108 - where POSIX shared memory lies, nothing is created there


@dataclass(frozen=True, slots=True)
class Identity:
    """Tells a process from later ones of the same pid: it started ``start_ticks`` clock ticks after boot."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Stat:
    """``state`` is that of the first thread, which may be a zombie while another hangs in the kernel."""

    state: str
    parent: int
    session: int
    threads: int
    start_ticks: int

    @property
    def first_thread_ended(self) -> bool:
        return self.state in "ZX"

    @property
    def ended(self) -> bool:
        """Whether all its threads have ended and its parent has not reaped it yet."""
        return self.first_thread_ended and self.threads <= 1


def stat(pid: int) -> Stat | None:
    """``None`` when there is no such process."""
    return _stat(PROC / str(pid))


def _stat(folder: Path) -> Stat | None:
    """Fields by number: proc_pid_stat(5)."""
    try:
        text = (folder / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # from the third on: the name before may hold anything
    return Stat(
        fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What the processes of an engine have done since they started: CPU time, and pages that they waited for
    (weights that are mapped, or swapped out). ``stopped``: there are some, and all are stopped."""

    cpu_s: float
    major_faults: int
    stopped: bool


def work(session: int) -> Work:
    """Of all living processes of the session. Fields by number: proc_pid_stat(5)."""
    cpu_ticks = faults = 0
    states: set[str] = set()
    for pid in members(session):
        try:
            text = (PROC / str(pid) / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        fields = text.rpartition(")")[2].split()
        states.add(fields[0])
        faults += int(fields[9])
        cpu_ticks += int(fields[11]) + int(fields[12])
    return Work(cpu_ticks / TICKS_PER_S, faults, stopped=bool(states) and states <= {"T", "t"})


def _folder(pid: int) -> Path:
    """Where to read memory and command line: the folder of another thread where the first has ended, because
    a thread that has ended shows neither."""
    folder = PROC / str(pid)
    process = _stat(folder)
    if process is None or process.ended or not process.first_thread_ended:
        return folder
    threads = sorted((folder / "task").glob("*"))
    alive = (path for path in threads if (thread := _stat(path)) and not thread.first_thread_ended)
    return next(alive, folder)


def identity(pid: int) -> Identity | None:
    """``None`` for a free pid or a process that has ended and waits for its parent."""
    process = stat(pid)
    return None if process is None or process.ended else Identity(pid, process.start_ticks)


def argv(pid: int) -> tuple[str, ...]:
    try:
        raw = (_folder(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(part.decode("utf-8", errors="replace") for part in raw.split(b"\0")[:-1])


def environment(pid: int) -> tuple[bytes, ...]:
    """``NAME=value`` as at its start; empty where it has ended or is another user's."""
    try:
        return tuple((_folder(pid) / "environ").read_bytes().split(b"\0"))
    except OSError:
        return ()


def is_engine(pid: int) -> bool:
    """Whether an engine or a process that it started has that pid, or had it. Each carries a mark that it
    can't take off: a limit that only root can raise. Another user's process counts as none."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_MSGQUEUE)[1] == 0
    except ProcessLookupError:
        return True
    except PermissionError:
        return False


def runs(pid: int, command: Sequence[str]) -> bool:
    """Whether ``pid`` runs ``command``. A script shows as its interpreter, the script and the rest."""
    shown, wanted = argv(pid), tuple(command)
    if shown[-len(wanted) :] == wanted:
        return True
    same_name = any(os.path.basename(part) == os.path.basename(wanted[0]) for part in shown)  # noqa: PTH119
    return same_name and shown[-len(wanted) + 1 :] == wanted[1:]


def pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(PROC) if name.isdigit())  # noqa: PTH208 - names are enough


def find(command: Sequence[str]) -> Identity | None:
    """A process that runs ``command``."""
    return next((found for pid in pids() if runs(pid, command) and (found := identity(pid))), None)


def members(session: int) -> tuple[int, ...]:
    """The living processes of a session: an engine is started as leader of its own."""
    return tuple(pid for pid in pids() if _session(pid) == session and identity(pid) is not None)


def process_tree(pid: int) -> frozenset[int]:
    """The processes of ``pid``'s session, and all descendants, whichever thread made them and whichever
    session they are in."""
    processes = {each: process for each in pids() if (process := stat(each)) is not None}
    children = defaultdict(list)
    for each, process in processes.items():
        children[process.parent].append(each)
    pending = [pid, *(each for each, process in processes.items() if process.session == pid)]
    tree: set[int] = set()
    while pending:
        each = pending.pop()
        if each in processes and each not in tree:
            tree.add(each)
            pending += children[each]
    return frozenset(tree)


def held_bytes(pid: int) -> int:
    """RAM of a process's tree that MemAvailable does not count: private and shared pages, locked file
    pages. A process that is gone holds nothing.

    Source: proc_pid_status(5) RssAnon, RssShmem, and the lesser of RssFile and VmLck.
    """
    return sum(_held_bytes(each) for each in process_tree(pid))


def _held_bytes(pid: int) -> int:
    try:
        lines = (_folder(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return 0  # it has ended
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    anonymous, shared, file, locked = (
        _kib(fields.get(name)) for name in ("RssAnon", "RssShmem", "RssFile", "VmLck")
    )
    return anonymous + shared + min(file, locked)


def _kib(value: str | None) -> int:
    """``"  1024 kB"`` in bytes; a process that has ended and waits for its parent has no such lines."""
    return int(value.split()[0]) * 1024 if value else 0


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None  # it has ended


def signal_session(session: int, number: Signals) -> None:
    """Signals all living members; what they start meanwhile is signalled by the next call."""
    for pid in members(session):
        with suppress(ProcessLookupError, PermissionError):  # it has ended, or is another user's
            os.kill(pid, number)


def shared_memory(pids: Iterable[int], patterns: Sequence[str]) -> frozenset[Path]:
    """Files below /dev/shm that ``pids`` map and whose name fits one of ``patterns``."""
    names = set()
    for pid in pids:
        try:
            maps = (_folder(pid) / "maps").read_text(errors="replace")
        except OSError:
            continue  # it has ended, or is another user's
        names |= {line.partition(SHARED_MEMORY)[2] for line in maps.splitlines() if SHARED_MEMORY in line}
    return frozenset(Path(SHARED_MEMORY, n) for n in names if any(fnmatch(n, p) for p in patterns))


def oom_counter(pid: int) -> Path | None:
    """The file in which the kernel counts its OOM kills in the cgroup of ``pid``, where it has one."""
    try:
        lines = [line.split(":", 2) for line in (PROC / str(pid) / "cgroup").read_text().splitlines()]
    except (FileNotFoundError, ProcessLookupError):
        return None
    for _, controllers, group in lines:
        if "memory" in controllers.split(","):
            return _existing(CGROUPS / "memory", group, "memory.oom_control")
    unified = next((group for number, _, group in lines if number == "0"), None)
    return None if unified is None else _existing(CGROUPS, unified, "memory.events")


def oom_kills(counter: Path) -> int | None:
    """How often the kernel killed for memory, ``None`` when the file doesn't say."""
    try:
        words = dict(line.split() for line in counter.read_text().splitlines())
    except (OSError, ValueError):
        return None
    return int(words["oom_kill"]) if "oom_kill" in words else None


def _existing(root: Path, group: str, file: str) -> Path | None:
    """In a container the path may be the host's: there, our own root is the group."""
    paths = (root / group.lstrip("/") / file, root / file)
    return next((path for path in paths if path.exists()), None)
