"""Runs one input and tells what is wrong with it: an exception that nobody is told of, CPU time, memory."""

import resource
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.conftest import ROOMS, ROOT
from tests.fuzz.target import Target

ENDLESS = 10  # times the limit: the input is ended
MOST_BYTES = 2 << 30  # that an input and all before it may add: beyond that, it gets a MemoryError


class EndlessError(BaseException):
    """Raised in the middle of an input that does not end. No handler of the product catches it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``key`` is the same for inputs that show the same fault: the place in our code, or which limit."""

    key: str
    what: str


@dataclass(slots=True)
class Watch:
    """Measures what each input costs. The peak of the process's memory counts, so that an input is charged
    with what it adds to that of all inputs before."""

    target: Target
    worst_cpu_ms: float = 0.0
    worst_memory_mib: float = 0.0
    worst_input: bytes = b""
    inputs: int = 0
    refused: int = 0
    peak_kib: Callable[[], int] = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _began_s: float = field(default=0.0, init=False)

    def arm(self) -> None:
        """Watches for inputs that don't end, on the clock of this process's CPU time, and for those that fill
        the memory before the peak of the process can be looked at."""
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit_bytes = pages * resource.getpagesize() + MOST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
        signal.signal(signal.SIGVTALRM, self._check)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.25, 0.25)

    def disarm(self) -> None:
        """Before the interpreter ends, which takes its handlers away first."""
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def run(self, data: bytes) -> Finding | None:
        finding = None
        before_kib = self.peak_kib()
        began_s = self._began_s = time.process_time()
        try:
            self.target.run(data)
        except self.target.ALLOWED:
            self.refused += 1
        except EndlessError as error:
            finding = Finding(f"endless {_place(error)}", f"does not end: {_place(error)}")
        except Exception as error:  # noqa: BLE001  # any exception that is not allowed is what is looked for
            finding = Finding(f"{type(error).__name__} {_place(error)}", f"{error!r}"[:300])
        self._began_s = 0.0
        cpu_ms = 1e3 * (time.process_time() - began_s)
        memory_mib = (self.peak_kib() - before_kib) / 1024
        self.inputs += 1
        self.worst_memory_mib = max(self.worst_memory_mib, memory_mib)
        if cpu_ms > self.worst_cpu_ms:
            self.worst_cpu_ms, self.worst_input = cpu_ms, data
        return finding or self._beyond(cpu_ms, memory_mib)

    def _beyond(self, cpu_ms: float, memory_mib: float) -> Finding | None:
        if cpu_ms > self.target.CPU_LIMIT_MS:
            return Finding("slow", f"{cpu_ms:.0f} ms of CPU time, more than {self.target.CPU_LIMIT_MS}")
        if memory_mib > self.target.MEMORY_LIMIT_MIB:
            return Finding("memory", f"{memory_mib:.0f} MiB, more than {self.target.MEMORY_LIMIT_MIB}")
        return None

    def _check(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._began_s and 1e3 * (time.process_time() - self._began_s) > ENDLESS * self.target.CPU_LIMIT_MS:
            self._began_s = 0.0
            raise EndlessError


def own_peak_kib() -> int:
    """Slower than ``ru_maxrss``, which begins with the peak of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _place(error: BaseException) -> str:
    """The innermost line of our own code in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _is_ours(frame.filename)] or list(frames)
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ROOMS
