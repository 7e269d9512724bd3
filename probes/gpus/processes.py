"""Processes that hold memory of a GPU: their program, and whether they descend from another process.

Of a command line only the program and its script are shown: the rest may contain passwords.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePath

from domain.machine.accelerator import GpuProcess
from probes import sysfs

INTERPRETERS = ("python", "node", "java", "bash", "sh")
SCRIPTS = (".py", ".js", ".mjs", ".jar", ".sh")
INLINE = ("-c", "-e", "--eval", "-p", "--print")
PLAIN = re.compile(r"[\w./+-]{1,200}")
MAX_ANCESTORS = 16  # between an engine's worker and the process that was started


def gpu_processes(root: Path, memory_by_pid: Mapping[int, int | None]) -> tuple[GpuProcess, ...]:
    """Largest first. The bytes of a process are None if the driver names only the process."""
    processes = [GpuProcess(pid, program_name(root, pid), size) for pid, size in memory_by_pid.items()]
    return tuple(sorted(processes, key=lambda process: (-(process.memory_bytes or 0), process.pid)))


def program_name(root: Path, pid: int) -> str | None:
    """``"python3 ComfyUI/main.py"``; the kernel's name of the process if its arguments are hidden."""
    process = root / "proc" / str(pid)
    arguments = (sysfs.read(process / "cmdline") or "").split("\0")
    name = PurePath(arguments[0]).name
    if not name:
        return sysfs.read(process / "comm") or None
    script = _script(arguments[1:]) if name.rstrip("0123456789.") in INTERPRETERS else None
    if script is None:
        return name
    if not script.endswith(SCRIPTS):  # a module or a package's folder
        return f"{name} {script}"
    folder = PurePath(script).parent.name or sysfs.link_name(process / "cwd")
    return f"{name} {folder}/{PurePath(script).name}" if folder else f"{name} {script}"


def _script(arguments: list[str]) -> str | None:
    """The first argument that is not an option: of ``-m MODULE`` the module. None for ``-c TEXT``."""
    for argument in arguments:
        if argument in INLINE:
            return None
        if argument and not argument.startswith("-"):
            return argument if PLAIN.fullmatch(argument) else None
    return None


def descends_from(root: Path, pid: int, ancestors: Collection[int]) -> bool:
    """Whether a process is one of ``ancestors`` or descends from one: engines have workers."""
    for _ in range(MAX_ANCESTORS):
        if pid in ancestors:
            return True
        # the process name before the parent's id may contain spaces and brackets
        fields = (sysfs.read(root / f"proc/{pid}/stat") or "").rpartition(")")[2].split()
        parent = sysfs.parse_int(fields[1]) if len(fields) > 1 else None
        if not parent or parent <= 1:
            return False
        pid = parent
    return False
