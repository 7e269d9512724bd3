"""The files of /sys, /proc and /etc of recorded machines with other contents, read by every probe."""

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from domain.errors import NodeError
from domain.serialization import to_json
from probes import snapshot
from probes.context import ProbeState
from probes.isolate import Isolation
from probes.memo import Memo
from probes.sensors import power
from tests.fuzz.mutation import line_mutation
from tests.fuzz.scratch import scratch
from tests.probes.hostile import CROWDED, MACHINES, METER, parse_all, plant_files
from tests.probes.table import TABLE
from tests.rigs.trees import plant

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 1000, 64, 8192
FOLDER = scratch("sysfs")
WHOLE_MACHINES = 8  # an input in so many is read by every probe, which takes ten times as long as the parsers
FILE = b"@"  # begins a line with a path; its content follows
# Files of which probes keep what they read from one snapshot to the next (probes/memo.py)
LASTING = ("sys/devices/system/cpu/", "sys/devices/cpu_", "proc/cpuinfo", "run/udev/", "sys/firmware/",
           "sys/dev/", "sys/block/", "usr/", "opt/", "etc/", "var/")  # fmt: skip
TEXTS = (
    "0::/a/b",
    "max 100000",
    "0-3,99",
    "suspended",
    "D3cold",
    "0x1002",
    "0x10de",
    "16 GT",
    "MemTotal: -1 kB",
    "0xffff",
)
_mutate_lines = line_mutation(TEXTS)
T = TypeVar("T")


def _run_openly(self: Isolation, source: str, read: Callable[[], T], unknown: T) -> T:
    """In the place of ``Isolation.run``, which turns what a probe raises into a problem."""
    del self, source, unknown
    return read()


def seeds() -> Iterator[bytes]:
    """Some files of each machine, and texts for the parsers."""
    for name in (CROWDED, *MACHINES):
        files = list(_machine(name)[1].items())
        for begin in range(0, len(files), 8):
            parts = [
                FILE + path.encode() + b"\n" + content[:400] for path, content in files[begin : begin + 8]
            ]
            yield b"\n".join([name.encode(), *parts])
    yield b"MemTotal: 100 kB\nMemFree: 1 kB"
    yield b"processor: 0\nflags: avx\ncpu cores: 4"


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_lines(data, rng)


def run(data: bytes) -> None:
    first, _, rest = data.partition(b"\n")
    name = first.decode(errors="replace")
    if name not in (CROWDED, *MACHINES):
        parse_all(data.decode(errors="replace"))
        return
    root, files, memo = _machine(name)
    changed = {
        path: content
        for part in rest.removeprefix(FILE).split(b"\n" + FILE)
        for path, content in [_path_and_content(part)]
        if content != files.get(path, content)
    }
    for content in changed.values():
        parse_all(content.decode(errors="replace"))
    if crc32(data) % WHOLE_MACHINES:
        return
    state = ProbeState(Memo() if any(path.startswith(LASTING) for path in changed) else memo, METER)
    plant(root, changed)
    try:
        hardware = snapshot.probe(root=root, models_dir=root, known_gpus=TABLE, state=state)
    finally:
        plant(root, {path: files[path] for path in changed})
    json.dumps(to_json(hardware), allow_nan=False).encode(errors="strict")
    for gpu in hardware.gpus:
        assert gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0
        assert gpu.memory_free_bytes is None or gpu.memory_free_bytes >= 0


def _path_and_content(part: bytes) -> tuple[str, bytes]:
    path, _, content = part.partition(b"\n")
    return path.decode(errors="replace"), content


@cache
def _machine(name: str) -> tuple[Path, dict[str, bytes], Memo]:
    """The root of a recorded machine, the files it has, and what probes keep of it."""
    Isolation.run = _run_openly  # type: ignore[method-assign]
    power.MIN_INTERVAL_S = 0.0  # between two looks at an energy counter
    return *plant_files(FOLDER / name, name), Memo()
