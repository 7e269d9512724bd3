"""Processes that hold memory of a GPU: who they are, and which of them are another's children.

Of a command line only the program and its script are told: the rest may hold passwords.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePath

from domain.accelerator import Tenant
from probes import sysfs

INTERPRETERS = ("python", "node", "java", "bash", "sh")
SCRIPTS = (".py", ".js", ".mjs", ".jar", ".sh")
INLINE = ("-c", "-e", "--eval", "-p", "--print")
PLAIN = re.compile(r"[\w./+-]{1,200}")
GENERATIONS = 16  # from an engine's worker up to the process that was started


def tenants(root: Path, holders: Mapping[int, int | None]) -> tuple[Tenant, ...]:
    """``holders`` maps process ids to bytes, None where the driver names a process only; largest first."""
    found = [Tenant(pid, program(root, pid), size) for pid, size in holders.items()]
    return tuple(sorted(found, key=lambda one: (-(one.memory_bytes or 0), one.pid)))


def program(root: Path, pid: int) -> str | None:
    """``"python3 ComfyUI/main.py"``; the kernel's name of the process where its arguments are hidden."""
    process = root / "proc" / str(pid)
    arguments = (sysfs.read(process / "cmdline") or "").split("\0")
    name = PurePath(arguments[0]).name
    if not name:
        return sysfs.read(process / "comm") or None
    script = _script(arguments[1:]) if name.rstrip("0123456789.") in INTERPRETERS else None
    if script is None:
        return name
    if not script.endswith(SCRIPTS):  # a module, or a package's folder
        return f"{name} {script}"
    folder = PurePath(script).parent.name or sysfs.link_name(process / "cwd")
    return f"{name} {folder}/{PurePath(script).name}" if folder else f"{name} {script}"


def _script(arguments: list[str]) -> str | None:
    """The first argument that is no option, so of ``-m MODULE`` the module. ``-c`` has a program's text."""
    for one in arguments:
        if one in INLINE:
            return None
        if one and not one.startswith("-"):
            return one if PLAIN.fullmatch(one) else None
    return None


def belongs(root: Path, pid: int, owners: Collection[int]) -> bool:
    """Whether a process is one of ``owners`` or a descendant of one: engines have workers."""
    for _ in range(GENERATIONS):
        if pid in owners:
            return True
        # the name before the parent's number may hold spaces and brackets
        fields = (sysfs.read(root / f"proc/{pid}/stat") or "").rpartition(")")[2].split()
        parent = sysfs.integer(fields[1]) if len(fields) > 1 else None
        if not parent or parent <= 1:
            return False
        pid = parent
    return False
