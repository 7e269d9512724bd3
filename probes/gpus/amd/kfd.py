"""AMD's compute driver (KFD): the real silicon of each GPU and the memory that ROCm will use.

``HSA_OVERRIDE_GFX_VERSION`` changes nothing here. Reading the topology wakes no GPU.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from domain.hardware import Problem, ProblemKind
from probes import sysfs

NODES = Path("sys/class/kfd/kfd/topology/nodes")


@dataclass(frozen=True, slots=True)
class Bank:
    """``clock_mhz`` is the memory clock of a GPU's bank, the transfers per µs of a CPU's (from DMI)."""

    size_bytes: int | None = None
    width_bits: int | None = None
    clock_mhz: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A GPU, or one partition of it. ``bank`` is VRAM of its own, or the pool that the kernel chose for an
    APU; ``gpu_id`` is the kernel's number, by which it counts what a process has."""

    slot: str
    arch: str | None = None
    compute_units: int | None = None
    bank: Bank = Bank()
    gpu_id: int | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    gpus: tuple[Node, ...] = ()
    cpu_bank: Bank = Bank()
    problems: tuple[Problem, ...] = ()

    def gpu(self, slot: str) -> Node | None:
        return next(iter(self.parts(slot)), None)

    def parts(self, slot: str) -> tuple[Node, ...]:
        """The nodes of one card: more than one where it is cut into partitions."""
        return tuple(node for node in self.gpus if node.slot == slot)


def probe(root: Path) -> Topology:
    gpus, cpu_bank, hidden = [], Bank(), []
    for name in sysfs.entries(root / NODES):
        folder = root / NODES / name
        if any(sysfs.denied(folder / file) for file in ("gpu_id", "properties")):
            hidden.append(name)
            continue
        properties = sysfs.fields(sysfs.read(folder / "properties"))
        bank = parse_bank(sysfs.read(folder / "mem_banks/0/properties"))
        node = parse_node(properties, bank)
        if node:
            gpus.append(replace(node, gpu_id=sysfs.read_int(folder / "gpu_id")))
        elif sysfs.integer(properties.get("cpu_cores_count")):
            cpu_bank = cpu_bank if cpu_bank.clock_mhz else bank
    return Topology(tuple(gpus), cpu_bank, _hidden(hidden))


def processes(root: Path, node: Node) -> dict[int, int | None]:
    """Bytes that each process has of a node's memory, as KFD counts them; any user may read these files."""
    folder = root / "sys/class/kfd/kfd/proc"
    sizes = {int(pid): sysfs.read_count(folder / pid / f"vram_{node.gpu_id}") for pid in _numbers(folder)}
    return {pid: size for pid, size in sizes.items() if size}


def _numbers(folder: Path) -> list[str]:
    return [name for name in sysfs.entries(folder) if name.isascii() and name.isdigit()]


def _hidden(names: list[str]) -> tuple[Problem, ...]:
    """The kernel answers EPERM where the device cgroup denies the render node: hidden, not absent."""
    if not names:
        return ()
    what = f"KFD node {', '.join(names)} may not be read: a GPU is there and is hidden from this process"
    hint = "a unit's sandbox may hide it: DeviceAllow=char-kfd and DeviceAllow=char-drm let it through"
    return (Problem("kfd", what, hint, ProblemKind.HIDDEN),)


def parse_bank(text: str | None) -> Bank:
    said = sysfs.fields(text)
    return Bank(
        _positive(said.get("size_in_bytes")), _positive(said.get("width")), _positive(said.get("mem_clk_max"))
    )


def parse_node(properties: dict[str, str], bank: Bank) -> Node | None:
    """None for a CPU. ``local_mem_size`` is 0 for every GPU: the kernel prints no other number."""
    simds, version = _positive(properties.get("simd_count")), _positive(properties.get("gfx_target_version"))
    location = sysfs.integer(properties.get("location_id"))
    if not simds or not version or location is None:
        return None
    domain = sysfs.integer(properties.get("domain")) or 0
    per_unit = _positive(properties.get("simd_per_cu"))
    return Node(slot_of(domain, location), gfx(version), simds // per_unit if per_unit else None, bank)


def slot_of(domain: int, location: int) -> str:
    """``49408`` -> ``0000:c1:00.0``: bus << 8 | device << 3 | function."""
    return f"{domain:04x}:{location >> 8 & 0xFF:02x}:{location >> 3 & 0x1F:02x}.{location & 7}"


def gfx(version: int) -> str:
    """``110501`` -> ``gfx1151``, ``90010`` -> ``gfx90a``: minor and stepping are hexadecimal digits."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _positive(text: str | None) -> int | None:
    number = sysfs.integer(text)
    return number if number and number > 0 else None
