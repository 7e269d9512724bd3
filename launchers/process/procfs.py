"""What /proc tells about an engine: who it is, who belongs to it, what it maps, who was killed."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from signal import Signals

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
SHARED_MEMORY = "/dev/shm/"  # noqa: S108 - where POSIX shared memory lies, nothing is created there


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can't be mistaken for a later one of the same pid: it started
    ``start_ticks`` clock ticks after boot."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Stat:
    state: str
    session: int
    start_ticks: int


def stat(pid: int) -> Stat | None:
    """``None`` when there is no such process. Fields by number: proc_pid_stat(5)."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = text.rpartition(")")[2].split()
    return Stat(state=after_name[0], session=int(after_name[3]), start_ticks=int(after_name[19]))


def identity(pid: int) -> Identity | None:
    """``None`` for a pid that is free or a process that has ended and waits for its parent."""
    found = stat(pid)
    return None if found is None or found.state in "ZX" else Identity(pid, found.start_ticks)


def argv(pid: int) -> tuple[str, ...]:
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(part.decode("utf-8", errors="replace") for part in raw.split(b"\0")[:-1])


def runs(pid: int, command: Sequence[str]) -> bool:
    """Whether ``pid`` runs ``command``. A script shows as its interpreter, the script and the rest."""
    shown, wanted = argv(pid), tuple(command)
    if shown[-len(wanted) :] == wanted:
        return True
    same_name = any(os.path.basename(part) == os.path.basename(wanted[0]) for part in shown)  # noqa: PTH119
    return same_name and shown[-len(wanted) + 1 :] == wanted[1:]


def find(command: Sequence[str]) -> Identity | None:
    """A process that runs ``command``."""
    pids = (int(entry) for entry in os.listdir(PROC) if entry.isdigit())  # noqa: PTH208 - names are enough
    return next((found for pid in pids if runs(pid, command) and (found := identity(pid))), None)


def held_bytes(pid: int) -> int:
    """RAM of a process and its session that MemAvailable no longer counts: private, shared, locked.

    Source: proc_pid_status(5) RssAnon, RssShmem, VmLck. A process that is gone holds nothing.
    """
    return sum(_held_bytes(member) for member in {pid, *members(pid)})


def _held_bytes(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    own = {key: _kib(fields.get(key)) for key in ("RssAnon", "RssShmem", "RssFile", "VmLck")}
    return own["RssAnon"] + own["RssShmem"] + min(own["RssFile"], own["VmLck"])


def _kib(value: str | None) -> int:
    return int(value.split()[0]) * 1024 if value else 0


def members(session: int) -> tuple[int, ...]:
    """The living processes of a session: an engine is started as leader of its own."""
    pids = (int(entry) for entry in os.listdir(PROC) if entry.isdigit())  # noqa: PTH208 - names are enough
    found = ((pid, stat(pid)) for pid in pids)
    return tuple(pid for pid, seen in found if seen and seen.session == session and seen.state not in "ZX")


def signal_session(session: int, number: Signals) -> None:
    """To all that live in it now; what they start meanwhile is met by the next call."""
    for pid in members(session):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def shared_memory(pids: Iterable[int], patterns: Sequence[str]) -> frozenset[Path]:
    """Files below /dev/shm that ``pids`` map and whose name fits one of ``patterns``."""
    names = set()
    for pid in pids:
        try:
            maps = (PROC / str(pid) / "maps").read_text(errors="replace")
        except OSError:
            continue  # gone meanwhile, or not ours to read
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
