"""The files of /sys, /proc and /etc of recorded machines with other contents, read by every probe."""

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from domain.errors import NodeError
from domain.serialization import to_json
from probes import snapshot, storage
from probes.context import ProbeState
from probes.cpu import core_types, numa, processor
from probes.gpus.amd import kfd
from probes.isolate import Isolation
from probes.memory import cgroup, dimms, ram, swap
from probes.runtimes import versions
from probes.system import systemd
from tests.fuzz.mutation import line_mutation
from tests.fuzz.scratch import scratch
from tests.probes.table import TABLE
from tests.probes.test_hostile import CROWD, MACHINES, METER
from tests.rigs.trees import plant, plant_machine

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 1000, 64, 8192
FOLDER = scratch("sysfs")
CROWDED = "crowded"
FILE = "@"  # begins a line with a path; its content follows
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
            parts = [f"{FILE}{path}\n".encode() + content[:400] for path, content in files[begin : begin + 8]]
            yield b"\n".join([name.encode(), *parts])
    yield b"MemTotal: 100 kB\nMemFree: 1 kB"
    yield b"processor: 0\nflags: avx\ncpu cores: 4"


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_lines(data, rng)


def run(data: bytes) -> None:
    first, _, rest = data.partition(b"\n")
    name = first.decode(errors="replace")
    if name not in (CROWDED, *MACHINES):
        _parse(data.decode(errors="replace"))
        return
    root, files = _machine(name)
    changed = {
        path: content
        for part in f"\n{rest.decode(errors='surrogateescape')}".split(f"\n{FILE}")
        for path, _, content in [part.partition("\n")]
        if path in files
    }
    plant(root, {path: content.encode(errors="surrogateescape") for path, content in changed.items()})
    try:
        hardware = snapshot.probe(root=root, models_dir=root, known_gpus=TABLE, state=ProbeState(meter=METER))
    finally:
        plant(root, {path: files[path] for path in changed})
    json.dumps(to_json(hardware), allow_nan=False).encode(errors="strict")
    for gpu in hardware.gpus:
        assert gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0
        assert gpu.memory_free_bytes is None or gpu.memory_free_bytes >= 0


@cache
def _machine(name: str) -> tuple[Path, dict[str, bytes]]:
    """The root of a recorded machine, and the files it has."""
    Isolation.run = _run_openly  # type: ignore[method-assign]
    root = plant_machine(FOLDER / name, "i7-1370p" if name == CROWDED else name)
    if name == CROWDED:
        plant(root, CROWD)
        return root, {path: text.encode() for path, text in CROWD.items()}
    paths = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return root, {str(path.relative_to(root)): path.read_bytes() for path in paths}


def _parse(text: str) -> None:
    cgroup.parse_membership(text)
    cgroup.parse_mounts(text)
    cgroup.parse_cpu_max(text)
    processor.parse_cpuinfo(text)
    core_types.parse_cpu_list(text)
    ram.parse_meminfo(text)
    kfd.parse_bank(text)
    dimms.parse_udev(text)
    numa.parse_meminfo(text)
    storage.mount_of(text, 0, Path("/"))
    swap.parse(text)
    versions.parse_header(text)
    systemd.parse_unit("a.service", text)
