"""Faults that the kernel logs: a GPU that is lost or was reset, processes killed for memory, CPUs too hot.

Records of /dev/kmsg: Linux, Documentation/ABI/testing/dev-kmsg. Lines that the patterns were made from:
tests/captures/kernel_log.json, each with its source.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MAX_RECORDS, MAX_BYTES = 2000, 8192  # a read; the kernel's own limit of a record is below it
KERNEL = 8  # numbers below it are of the kernel itself, the others were written by programs
NEWLINE = "\\x0a"

SLOT = r"([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-7])?"
XID = re.compile(rf"NVRM: Xid \(PCI:{SLOT}\): (\d{{1,4}})\b")
FALLEN = re.compile(rf"NVRM: (?:The NVIDIA GPU|GPU at|GPU) (?:PCI:)?{SLOT}[^!]{{0,200}}fallen off the bus")
AMDGPU = re.compile(rf"amdgpu {SLOT}: (?:amdgpu: )?(.{{1,200}})")
AMD_LOST = re.compile(
    r"GPU reset(?:\(\d{1,4}\))? failed|GPU reset end with ret = -\d{1,4}|device lost from bus!"
)
AMD_BACK = re.compile(r"GPU reset(?:\(\d{1,4}\))? succeeded")
AMD_RESET = re.compile(r"GPU reset begin!|ring \S{1,40} timeout, ")
KILLED = re.compile(r"(?:Memory cgroup out|Out) of memory: Killed process (\d{1,10}) \(([^)]{0,64})\)")
THROTTLED = re.compile(
    r"CPU\d{1,5}: (?:Core|Package) temperature (?:is )?above threshold, cpu clock throttled"
)
TOO_HOT = re.compile(
    r"(?:thermal [\w-]{1,60}: )?(?:[\w-]{1,60}: )?critical temperature reached", re.IGNORECASE
)
LOST_XIDS = frozenset({79})  # docs.nvidia.com/deploy/xid-errors: GPU has fallen off the bus
SHOWN = 160


class FaultKind(StrEnum):
    LOST = "lost"
    BACK = "back"
    RESET = "reset"
    XID = "xid"
    OOM = "oom"
    HOT = "hot"


@dataclass(frozen=True, slots=True)
class KernelFault:
    """``device`` is the id of a GPU; ``pid`` a process that was killed. ``line`` is the kernel's own."""

    kind: FaultKind
    line: str
    device: str | None = None
    pid: int | None = None


class KernelLog:
    """New records since it was opened; none where reading is not permitted. For one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._path = root / "dev/kmsg"
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def faults(self) -> tuple[KernelFault, ...]:
        return tuple(fault for text in self._records() if (fault := parse(text)) is not None)

    def _records(self) -> Iterator[str]:
        for _ in range(MAX_RECORDS if self._descriptor is not None else 0):
            try:
                content = os.read(self._descriptor or 0, MAX_BYTES)
            except BrokenPipeError:  # the kernel has overwritten some: the next read has the oldest one left
                continue
            except OSError:
                return
            if not content:
                return
            yield from content.decode(errors="replace").splitlines()


def is_denied(root: Path) -> bool:
    """Whether there is a log that this process may not read."""
    log = KernelLog(root)
    denied = log._descriptor is None and (root / "dev/kmsg").exists()  # noqa: SLF001 - its own module
    log.close()
    return denied


def parse(record: str) -> KernelFault | None:
    """``"3,825,53895417788,-;Memory cgroup out of memory: Killed process 4711 (llama-server) ..."``"""
    head, separator, text = record.partition(";")
    priority = head.split(",")[0]
    if not separator or not priority.isdecimal() or int(priority[:6]) >= KERNEL:
        return None
    return parse_message(text.replace(NEWLINE, " "))


def parse_message(text: str) -> KernelFault | None:
    line = text[:SHOWN].strip()
    if match := XID.match(text):
        kind = FaultKind.LOST if int(match[2]) in LOST_XIDS else FaultKind.XID
        return KernelFault(kind, line, _gpu_id(match[1]))
    if match := FALLEN.match(text):
        return KernelFault(FaultKind.LOST, line, _gpu_id(match[1]))
    if match := AMDGPU.match(text):
        kinds = {FaultKind.LOST: AMD_LOST, FaultKind.BACK: AMD_BACK, FaultKind.RESET: AMD_RESET}
        found = next((kind for kind, pattern in kinds.items() if pattern.match(match[2])), None)
        return None if found is None else KernelFault(found, line, _gpu_id(match[1]))
    if match := KILLED.match(text):
        return KernelFault(FaultKind.OOM, line, pid=int(match[1]))
    return KernelFault(FaultKind.HOT, line) if THROTTLED.match(text) or TOO_HOT.match(text) else None


def _gpu_id(slot: str) -> str:
    """The function of a GPU is 0; NVIDIA's driver leaves it out, and writes domains of up to eight digits."""
    return f"pci:{slot[-10:].lower()}.0"
