"""AMD's compute driver (KFD): the architecture of each GPU and the memory that ROCm will use.

``HSA_OVERRIDE_GFX_VERSION`` has no effect on these files. Reading the topology wakes no GPU.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from domain.machine.hardware import Problem, ProblemKind
from probes import sysfs

NODES = Path("sys/class/kfd/kfd/topology/nodes")


@dataclass(frozen=True, slots=True)
class MemoryBank:
    """``clock_mhz`` is the memory clock of a GPU's bank, or the transfers per µs of a CPU's (from DMI)."""

    size_bytes: int | None = None
    width_bits: int | None = None
    clock_mhz: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A GPU, or one partition of it. ``bank`` is its own VRAM, or the pool that the kernel chose for an APU;
    ``gpu_id`` is the kernel's number for it, used in the file names of a process's memory."""

    slot: str
    arch: str | None = None
    compute_units: int | None = None
    bank: MemoryBank = MemoryBank()
    gpu_id: int | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    gpus: tuple[Node, ...] = ()
    cpu_bank: MemoryBank = MemoryBank()
    problems: tuple[Problem, ...] = ()

    def gpu(self, slot: str) -> Node | None:
        return next(iter(self.partitions(slot)), None)

    def partitions(self, slot: str) -> tuple[Node, ...]:
        """The nodes of one card: more than one if it is cut into partitions."""
        return tuple(node for node in self.gpus if node.slot == slot)


def probe(root: Path) -> Topology:
    gpus, cpu_bank, hidden = [], MemoryBank(), []
    for name in sysfs.entries(root / NODES):
        folder = root / NODES / name
        if any(sysfs.is_denied(folder / file) for file in ("gpu_id", "properties")):
            hidden.append(name)
            continue
        properties = sysfs.parse_pairs(sysfs.read(folder / "properties"))
        bank = parse_bank(sysfs.read(folder / "mem_banks/0/properties"))
        node = parse_node(properties, bank)
        if node:
            gpus.append(replace(node, gpu_id=sysfs.read_int(folder / "gpu_id")))
        elif sysfs.parse_int(properties.get("cpu_cores_count")):
            cpu_bank = cpu_bank if cpu_bank.clock_mhz else bank
    return Topology(tuple(gpus), cpu_bank, _hidden_problems(hidden))


def process_memory(root: Path, node: Node) -> dict[int, int | None]:
    """Bytes of a node's memory by process id, as KFD counts them; any user may read these files."""
    folder = root / "sys/class/kfd/kfd/proc"
    sizes = {
        int(pid): sysfs.read_count(folder / pid / f"vram_{node.gpu_id}") for pid in _numeric_entries(folder)
    }
    return {pid: size for pid, size in sizes.items() if size}


def _numeric_entries(folder: Path) -> list[str]:
    return [name for name in sysfs.entries(folder) if name.isascii() and name.isdigit()]


def _hidden_problems(names: list[str]) -> tuple[Problem, ...]:
    """Reading fails with EPERM if the device cgroup denies the render node: the GPU is hidden, not absent."""
    if not names:
        return ()
    what = f"KFD node {', '.join(names)} may not be read: its GPU is present and hidden from this process"
    hint = "a unit's sandbox may hide it: DeviceAllow=char-kfd and DeviceAllow=char-drm let it through"
    return (Problem("kfd", what, hint, ProblemKind.HIDDEN),)


def parse_bank(text: str | None) -> MemoryBank:
    properties = sysfs.parse_pairs(text)
    return MemoryBank(
        _positive(properties.get("size_in_bytes")),
        _positive(properties.get("width")),
        _positive(properties.get("mem_clk_max")),
    )


def parse_node(properties: dict[str, str], bank: MemoryBank) -> Node | None:
    """None for a CPU. ``local_mem_size`` is not used: the kernel always prints 0."""
    simds, version = _positive(properties.get("simd_count")), _positive(properties.get("gfx_target_version"))
    location = sysfs.parse_int(properties.get("location_id"))
    if not simds or not version or location is None:
        return None
    domain = sysfs.parse_int(properties.get("domain")) or 0
    simds_per_cu = _positive(properties.get("simd_per_cu"))
    compute_units = simds // simds_per_cu if simds_per_cu else None
    return Node(pci_slot(domain, location), gfx_name(version), compute_units, bank)


def pci_slot(domain: int, location: int) -> str:
    """``49408`` -> ``0000:c1:00.0``: bus << 8 | device << 3 | function."""
    return f"{domain:04x}:{location >> 8 & 0xFF:02x}:{location >> 3 & 0x1F:02x}.{location & 7}"


def gfx_name(version: int) -> str:
    """``110501`` -> ``gfx1151``, ``90010`` -> ``gfx90a``: minor and stepping are hexadecimal digits."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _positive(text: str | None) -> int | None:
    number = sysfs.parse_int(text)
    return number if number and number > 0 else None
