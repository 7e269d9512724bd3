"""Facts for the tables of the checks: of captured machines, and of a well box with parts of it changed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from daemon.doctor.checks.finding import Check, Verdict
from daemon.doctor.checks.input import Daemon, DoctorInput
from domain.hardware import EngineFound, Gpu, Hardware, Memory, MemoryKind, Stacks
from domain.units import GIB
from probes import snapshot
from probes.system import setup
from probes.system.accounts import Account
from tests.probes.table import TABLE
from tests.rigs.trees import plant_machine

OK, NOT_KNOWN, WARNING, ERROR = Verdict.OK, Verdict.NOT_KNOWN, Verdict.WARNING, Verdict.ERROR

NOW = "2026-11-25T12:00:00.000+00:00"
RENDER, VIDEO = 992, 44
SERVICE = Account("node-daemon", 990, "/var/lib/node-daemon", frozenset({990, RENDER, VIDEO}))
OWNER = Account("ada", 1000, "/home/ada", frozenset({1000}))
GROUPS = {RENDER: "render", VIDEO: "video", 990: "node-daemon", 1000: "ada"}

RTX_3090 = Gpu(
    "pci:0000:01:00.0",
    "nvidia",
    "NVIDIA GeForce RTX 3090",
    MemoryKind.DEDICATED,
    24 * GIB,
    23 * GIB,
    arch="sm_86",
    driver="nvidia 580.95.05",
    power_w=30.0,
    temperature_c=40.0,
    power_limit_w=350.0,
    power_default_w=350.0,
)
RADEON = replace(
    RTX_3090,
    vendor="amd",
    name="AMD Radeon RX 7900 XTX",
    arch="gfx1100",
    driver="amdgpu 6.18.9-200.fc43.x86_64",
)
HALO = Gpu(
    "pci:0000:c3:00.0",
    "amd",
    "AMD Radeon 8060S",
    MemoryKind.UNIFIED,
    62 * GIB,
    60 * GIB,
    arch="gfx1151",
    driver="amdgpu 6.18.9-200.fc43.x86_64",
)
GB10 = Gpu(
    "pci:000f:01:00.0",
    "nvidia",
    "NVIDIA GB10",
    MemoryKind.UNIFIED,
    119 * GIB,
    110 * GIB,
    arch="sm_121",
    driver="nvidia 580.95.05",
)
BUILD = EngineFound("llama.cpp", "/opt/llama.cpp/bin/llama-server", "b11434", ("cpu", "vulkan"))
BOX = Hardware(
    memory=Memory(
        total_bytes=120 * GIB,
        available_bytes=100 * GIB,
        memlock_unlimited=True,
        swap_total_bytes=0,
        swap_free_bytes=0,
        hugepages_total_bytes=0,
        hugepages_free_bytes=0,
    ),
    engines=(BUILD,),
    stacks=Stacks(cuda="13.0", kernel="6.18.9-200.fc43.x86_64", linux_firmware="20260110-1.fc43"),
)
WELL = DoctorInput(
    hardware=BOX,
    daemon=Daemon(uptime_s=3725.0),
    launches=(),
    events=(),
    runs_as=SERVICE,
    caller=SERVICE,
    groups=GROUPS,
    clock_synchronised=True,
    now=NOW,
)


def facts(
    *gpus: Gpu, box: dict[str, Any] | None = None, memory: dict[str, Any] | None = None, **more: Any
) -> DoctorInput:
    """The well box with ``gpus``, and with fields of its hardware, its memory and the facts changed."""
    ram = replace(BOX.memory, **memory or {})
    return replace(WELL, hardware=replace(BOX, gpus=gpus, memory=ram, **box or {}), **more)


def captured(name: str, change: Callable[[Path], object] | None = None) -> DoctorInput:
    """Of ``tests/captures/machines/NAME.json``, as the probes see its files."""
    with TemporaryDirectory() as folder:
        root = plant_machine(Path(folder), name)
        if change:
            change(root)
        seen = snapshot.probe(root=root, models_dir=Path("/"), known_gpus=TABLE)
        return replace(WELL, hardware=seen, system=setup.probe(root))


@dataclass(frozen=True)
class Case:
    """A machine, the verdict of each finding on it, and words that are in what is told."""

    id: str
    facts: DoctorInput
    verdicts: tuple[Verdict, ...]
    words: tuple[str, ...] = ()


def name(case: Case) -> str:
    return case.id


def judge(check: Check, case: Case) -> None:
    """What is bad says why it matters and what to type; what is well says neither."""
    found = check(case.facts)
    assert tuple(one.status for one in found) == case.verdicts, found
    for one in found:
        if one.status in (WARNING, ERROR):
            assert one.why, one
            assert one.fix, one
        else:
            assert not one.why, one
    told = "\n".join(f"{one.found}\n{one.why}\n{one.fix}" for one in found)
    for words in case.words:
        assert words in told, told
