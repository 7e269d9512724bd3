"""The hardware of a machine, as the probes read it; also the shape of a profile of another machine.

``None`` means unknown everywhere, never zero. Field names and nesting are the contract of
``node-ctl probe --json``: fields may be added, never renamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from domain.machine.accelerator import GpuProcess, PcieLink, Peer, RuntimeDevice
from domain.machine.host import CoreKind, Fan, MemoryModule, NumaNode, Power, StorageKind
from domain.machine.provenance import Provenance


class MemoryKind(StrEnum):
    DEDICATED = "dedicated"
    UNIFIED = "unified"


class BandwidthSource(StrEnum):
    """A peak is an upper bound, from a data sheet or from clock and width."""

    PEAK = "peak"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Cpu:
    """``usable_cpus`` are the logical CPUs that this process may run on (affinity); ``quota_cpus`` is the
    tightest cgroup CPU quota in CPUs (1.5 = one and a half), ``None`` without one. ``kinds`` has more than
    one entry on hybrid processors. ``power_w`` is the package's; ``throttled_count`` is how many times since
    boot a core or the package was throttled for heat."""

    model: str | None = None
    physical_cores: int | None = None
    performance_cores: int | None = None
    logical_cpus: int | None = None
    usable_cpus: int | None = None
    quota_cpus: float | None = None
    isa: tuple[str, ...] = ()
    numa_nodes: int | None = None
    kinds: tuple[CoreKind, ...] = ()
    numa: tuple[NumaNode, ...] = ()
    temperature_c: float | None = None
    power_w: float | None = None
    throttled_count: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Host RAM. Engines inherit both limits: ``cgroup_limit_bytes`` is the tightest above this process,
    ``None`` without one; ``memlock_limit_bytes`` is ``None`` if it is unlimited (``memlock_unlimited``) or
    unknown.

    ``total_bytes`` is the kernel's total. ``installed_bytes`` are the modules, ``carve_out_bytes`` the part
    that the firmware reserves for an integrated GPU. ``bandwidth_bytes_per_s`` is measured if possible;
    ``peak_bandwidth_bytes_per_s`` is always clock x width (``bus_bits``) or a data sheet's, never measured.
    Swap is that on disks; zram is in the RAM itself. Reserved huge pages are not part of ``available_bytes``;
    ``arc_reclaimable_bytes``, which ZFS's cache gives back, are. Without ZFS they are ``None``.
    """

    total_bytes: int | None = None
    available_bytes: int | None = None
    bandwidth_bytes_per_s: float | None = None
    bandwidth_source: BandwidthSource | None = None
    memlock_limit_bytes: int | None = None
    memlock_unlimited: bool = False
    cgroup_limit_bytes: int | None = None
    cgroup_available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None
    zram_total_bytes: int | None = None
    zram_free_bytes: int | None = None
    hugepages_total_bytes: int | None = None
    hugepages_free_bytes: int | None = None
    installed_bytes: int | None = None
    carve_out_bytes: int | None = None
    peak_bandwidth_bytes_per_s: float | None = None
    bus_bits: int | None = None
    modules: tuple[MemoryModule, ...] = ()
    arc_reclaimable_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU that an engine can use. ``id`` is stable across boots: ``pci:0000:c3:00.0``.

    ``arch`` is ``sm_86`` or ``gfx1151``. ``fp16_flops_per_s`` is the dense tensor rate from the device table.
    ``bandwidth_bytes_per_s`` is that of its own memory (of the RAM if unified).

    ``memory_reserved_bytes`` is held by the driver: neither free nor used by a process. ``power_limit_w`` is
    the limit in force, ``power_default_w`` the vendor's. ``throttled_by`` names the faults that hold the
    clocks down now, () is none; ``temperature_margin_c`` is how much hotter it may get before it throttles.
    ``tenants`` are processes other than our engines that hold its memory. ``parent`` is the card of a
    partition (MIG). ``set_aside`` is why no engine should use it: such a GPU is in ``Hardware.set_aside``
    only.
    """

    id: str
    vendor: str
    name: str
    memory_kind: MemoryKind | None = None
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    bandwidth_bytes_per_s: float | None = None
    bandwidth_source: BandwidthSource | None = None
    arch: str | None = None
    driver: str | None = None
    pcie_bytes_per_s: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    fp16_flops_per_s: float | None = None
    display_attached: bool | None = None
    pci_id: str | None = None
    uuid: str | None = None
    is_integrated: bool | None = None
    asleep: bool = False
    compute_units: int | None = None
    memory_reserved_bytes: int | None = None
    tenants: tuple[GpuProcess, ...] | None = None
    link: PcieLink | None = None
    peers: tuple[Peer, ...] = ()
    power_limit_w: float | None = None
    power_default_w: float | None = None
    persistence: bool | None = None
    throttled_by: tuple[str, ...] | None = None
    temperature_margin_c: float | None = None
    fan_percent: float | None = None
    fan_rpm: int | None = None
    parent: str | None = None
    set_aside: str | None = None


@dataclass(frozen=True, slots=True)
class Npu:
    """Listed, but never counted as a GPU: no supported engine runs on one."""

    id: str
    vendor: str
    name: str
    driver: str | None = None
    firmware: str | None = None


@dataclass(frozen=True, slots=True)
class Stacks:
    """Versions of the compute stacks. ``cuda`` is the highest that the driver runs (``"13.0"``),
    ``cuda_toolkit`` the installed toolkit. ``amdgpu_dkms`` is a driver built outside the kernel, ``None`` for
    the kernel's own. ``linux_firmware`` is the version of the package, which starts with its date
    (``"20260110"``). ``vulkan_driver_files`` is the variable that selects Vulkan's drivers, if one does."""

    cuda: str | None = None
    rocm: str | None = None
    vulkan: str | None = None
    level_zero: str | None = None
    cuda_toolkit: str | None = None
    nvidia_module: str | None = None
    amdgpu_dkms: str | None = None
    kernel: str | None = None
    linux_firmware: str | None = None
    vulkan_devices: tuple[RuntimeDevice, ...] = ()
    level_zero_devices: tuple[RuntimeDevice, ...] = ()
    vulkan_driver_files: str | None = None


@dataclass(frozen=True, slots=True)
class Thermal:
    """One temperature sensor. Implausible limits are ``None``. ``device`` is the id of its GPU, or the
    kernel's name of the device (``nvme0``)."""

    sensor: str
    temperature_c: float
    high_c: float | None = None
    critical_c: float | None = None
    emergency_c: float | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """The file system that holds the weights. ``read_bytes_per_s`` is measured with direct I/O by one reader;
    ``device`` is the disk (``nvme0n1``) or the source of a network mount (``nas:/models``)."""

    path: str
    free_bytes: int | None = None
    total_bytes: int | None = None
    read_bytes_per_s: float | None = None
    filesystem: str | None = None
    device: str | None = None
    device_kind: StorageKind | None = None
    mounted_at: str | None = None


@dataclass(frozen=True, slots=True)
class InstalledEngine:
    """An engine binary on this machine. ``backends``: ``cpu``, ``vulkan``, ``cuda``, ``rpc``...
    ``problem`` is why it cannot be used here, ``None`` if it can."""

    engine: str
    path: str
    version: str | None = None
    backends: tuple[str, ...] = ()
    problem: str | None = None


class ProblemKind(StrEnum):
    """Kinds of problems that a check of the doctor reports in place of the probe that found them."""

    DRIVER = "driver"
    LOST = "lost"
    HIDDEN = "hidden"
    NO_NODE = "no_node"
    CLOSED = "closed"
    SHARED_MEMORY = "shared_memory"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a probe could not read or that is wrong: the probe, what it is, and what to do.

    ``trouble`` is its kind: the ``DRIVER`` does not answer or does not match its library, a GPU is ``LOST``
    since boot, ``HIDDEN`` by a sandbox, without its device node (``NO_NODE``) or ``CLOSED`` to this user, or
    the split of ``SHARED_MEMORY`` is bad.
    """

    source: str
    what: str
    hint: str = ""
    trouble: ProblemKind | None = None


@dataclass(frozen=True, slots=True)
class Hardware:
    """A snapshot of one machine. ``power_limit_w`` is the limit of its GPUs together by their data sheets, or
    of a chip that is CPU and GPU in one; the rest of the machine is not included. ``set_aside`` are GPUs that
    are present and that no plan uses: integrated graphics, a card that is cut into partitions.

    ``sources`` is the provenance of each known value, by its name: ``memory.total_bytes``,
    ``gpus[pci:0000:c3:00.0].name``, ``thermals[SENSOR].temperature_c``. It is not compared.
    """

    cpu: Cpu = field(default_factory=Cpu)
    memory: Memory = field(default_factory=Memory)
    gpus: tuple[Gpu, ...] = ()
    npus: tuple[Npu, ...] = ()
    stacks: Stacks = field(default_factory=Stacks)
    thermals: tuple[Thermal, ...] = ()
    storage: Storage | None = None
    engines: tuple[InstalledEngine, ...] = ()
    problems: tuple[Problem, ...] = ()
    name: str | None = None
    source: str | None = None
    power_limit_w: float | None = None
    set_aside: tuple[Gpu, ...] = ()
    fans: tuple[Fan, ...] = ()
    power: tuple[Power, ...] = ()
    sources: Mapping[str, Provenance] = field(default_factory=dict, compare=False)
