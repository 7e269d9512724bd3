"""NUMA nodes: the RAM and the CPUs of each."""

from pathlib import Path

from domain.machine.host import NumaNode
from probes import sysfs
from probes.cpu.core_types import format_cpu_list, parse_cpu_list

NODES = Path("sys/devices/system/node")


def probe(root: Path) -> tuple[NumaNode, ...]:
    """All nodes, with those that have no CPUs (CXL memory, the memory of a GH200's GPU)."""
    names = (name for name in sysfs.entries(root / NODES) if name[:4] == "node" and name[4:].isdigit())
    return tuple(_node(root / NODES / name, int(name[4:])) for name in names)


def _node(folder: Path, number: int) -> NumaNode:
    cpus = format_cpu_list(parse_cpu_list(sysfs.read(folder / "cpulist")))
    return NumaNode(number, cpus, **parse_meminfo(sysfs.read(folder / "meminfo") or ""))


def parse_meminfo(text: str) -> dict[str, int | None]:
    """Lines of ``Node 0 MemTotal:  65794236 kB``, in bytes."""
    kib = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 5 and words[4] == "kB":
            kib[words[2]] = sysfs.parse_int(words[3])
    return {
        field: None if (count := kib.get(key)) is None or count < 0 else count * 1024
        for field, key in (("memory_total_bytes", "MemTotal:"), ("memory_free_bytes", "MemFree:"))
    }
