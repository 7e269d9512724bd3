"""What a machine has, as the probes found it. Also the shape of a profile: a box that isn't here.

``None`` means "not known" everywhere, never zero. Field names and nesting are the contract of
``node-ctl probe --json``: fields may be added, never renamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from domain.accelerator import PcieLink, Peer, RuntimeDevice, Tenant
from domain.host import CoreKind, Fan, MemoryModule, NumaNode, Power, StorageKind
from domain.provenance import Provenance


class MemoryKind(StrEnum):
    DEDICATED = "dedicated"
    UNIFIED = "unified"


class BandwidthSource(StrEnum):
    """Where a bandwidth comes from. A peak is an upper bound from a data sheet or a clock."""

    PEAK = "peak"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Cpu:
    """``usable_cpus`` are logical CPUs this process may run on (affinity); ``quota_cpus`` is the
    tightest cgroup CPU quota in CPUs (1.5 = one and a half), ``None`` without one. ``kinds`` has more
    than one on hybrid machines. ``power_w`` is the package's, ``throttled_count`` how many times since
    the boot a core or the package was slowed down for heat."""

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
    """Host RAM. ``cgroup_limit_bytes`` is the tightest limit above this process, ``None`` without
    one; ``memlock_limit_bytes`` ``None`` when unlimited or unknown (``memlock_unlimited`` tells): both as
    an engine gets them.

    ``total_bytes`` is what the kernel has. ``installed_bytes`` are the modules, ``carve_out_bytes`` what
    the firmware gave an integrated GPU of them. ``bandwidth_bytes_per_s`` is measured where it could be;
    ``peak_bandwidth_bytes_per_s`` is always the one of clock and width (``bus_bits``), never a measured
    one. Swap is that on disks; zram lies in the RAM itself. Reserved huge pages are gone from
    ``available_bytes``.
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


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator that an engine can use. ``id`` is stable across boots: ``pci:0000:c3:00.0``.

    ``arch`` is ``sm_86`` or ``gfx1151``. ``fp16_flops_per_s`` is the dense tensor rate from the
    device table. ``bandwidth_bytes_per_s`` is of its own memory (of RAM where unified).

    ``memory_reserved_bytes`` is what the driver keeps: neither free nor a tenant's. ``power_limit_w`` is the
    limit in force, ``power_default_w`` the maker's. ``throttled_by`` names what holds the clocks down now
    and shouldn't, () is nothing; ``temperature_margin_c`` is how much hotter it may get before that.
    ``tenants`` is () where nobody else holds its memory. ``parent`` is the card that a partition (MIG) is
    cut from. ``set_aside`` says why no engine is to use it: such a GPU is in ``Hardware.set_aside`` only.
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
    tenants: tuple[Tenant, ...] | None = None
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
    """Present, never counted as a GPU: no engine here runs on one."""

    id: str
    vendor: str
    name: str
    driver: str | None = None
    firmware: str | None = None


@dataclass(frozen=True, slots=True)
class Stacks:
    """Versions of the compute stacks: ``cuda`` is the driver's level (``"13.0"``), ``cuda_toolkit`` what is
    installed of it. ``amdgpu_dkms`` is the driver built outside of the kernel, ``None`` for the kernel's own.
    ``linux_firmware`` is the package's version, which begins with its date (``"20260110"``).
    ``vulkan_driver_files`` is the variable that chose Vulkan's drivers, where one did."""

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
    """One temperature sensor. Limits that the driver fills with sentinels are ``None``. ``device`` is the
    id of the GPU it belongs to, or the kernel's name of the device (``nvme0``)."""

    sensor: str
    temperature_c: float
    high_c: float | None = None
    critical_c: float | None = None
    emergency_c: float | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """The file system that holds the weights. ``read_bytes_per_s`` is measured past the page cache, by one
    reader; ``device`` is the disk (``nvme0n1``) or what is mounted (``nas:/models``)."""

    path: str
    free_bytes: int | None = None
    total_bytes: int | None = None
    read_bytes_per_s: float | None = None
    filesystem: str | None = None
    device: str | None = None
    device_kind: StorageKind | None = None
    mounted_at: str | None = None


@dataclass(frozen=True, slots=True)
class EngineFound:
    """An engine binary on this machine. ``backends``: ``cpu``, ``vulkan``, ``cuda``, ``rpc``...
    ``problem`` says why it can't be used here, ``None`` when it can."""

    engine: str
    path: str
    version: str | None = None
    backends: tuple[str, ...] = ()
    problem: str | None = None


class ProblemKind(StrEnum):
    """Problems of which a check of the doctor can say more than the probe that met them."""

    DRIVER = "driver"
    LOST = "lost"
    HIDDEN = "hidden"
    CLOSED = "closed"
    SHARED_MEMORY = "shared_memory"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a probe could not read or found wrong: where, what, and what to do about it.

    ``trouble`` tells its kind: the ``DRIVER`` doesn't answer or fit its library, a GPU is ``LOST`` since the
    boot, ``HIDDEN`` by a sandbox or ``CLOSED`` to this user, or the ``SHARED_MEMORY`` is split badly.
    """

    source: str
    what: str
    hint: str = ""
    trouble: ProblemKind | None = None


@dataclass(frozen=True, slots=True)
class Hardware:
    """A snapshot of one machine. ``power_limit_w`` is what data sheets allow its GPUs together, or the
    chip that is CPU and GPU in one; the machine around them is not in it. ``set_aside`` are GPUs that are
    present and that nothing is planned on: integrated graphics, a card that is cut into partitions.

    ``sources`` tells of each value that is known where it comes from: by ``memory.total_bytes``,
    ``gpus[pci:0000:c3:00.0].name``, ``thermals[SENSOR].temperature_c``. Equal machines may differ in it.
    """

    cpu: Cpu = field(default_factory=Cpu)
    memory: Memory = field(default_factory=Memory)
    gpus: tuple[Gpu, ...] = ()
    npus: tuple[Npu, ...] = ()
    stacks: Stacks = field(default_factory=Stacks)
    thermals: tuple[Thermal, ...] = ()
    storage: Storage | None = None
    engines: tuple[EngineFound, ...] = ()
    problems: tuple[Problem, ...] = ()
    name: str | None = None
    source: str | None = None
    power_limit_w: float | None = None
    set_aside: tuple[Gpu, ...] = ()
    fans: tuple[Fan, ...] = ()
    power: tuple[Power, ...] = ()
    sources: Mapping[str, Provenance] = field(default_factory=dict, compare=False)
