"""Inputs for the tables of the checks: of recorded machines, and of a healthy machine with changes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from daemon.doctor.checks.finding import Check, Verdict
from daemon.doctor.checks.input import Daemon, DoctorInput
from domain.machine.hardware import Gpu, Hardware, InstalledEngine, Memory, MemoryKind, Stacks
from domain.units import GIB
from launchers.sandbox.support import Support
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
BUILD = InstalledEngine("llama.cpp", "/opt/llama.cpp/bin/llama-server", "b11434", ("cpu", "vulkan"))
HEALTHY_HARDWARE = Hardware(
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
HEALTHY = DoctorInput(
    hardware=HEALTHY_HARDWARE,
    daemon=Daemon(uptime_s=3725.0),
    launches=(),
    events=(),
    runs_as=SERVICE,
    caller=SERVICE,
    groups=GROUPS,
    clock_synchronised=True,
    overriding_variables=(),
    sandbox_support=Support(landlock=7, seccomp=True),
    now=NOW,
)


def inputs(
    *gpus: Gpu, hardware: dict[str, Any] | None = None, memory: dict[str, Any] | None = None, **more: Any
) -> DoctorInput:
    """The healthy machine with ``gpus``, and with changed fields of its hardware, memory and the input."""
    ram = replace(HEALTHY_HARDWARE.memory, **memory or {})
    changed = replace(HEALTHY_HARDWARE, gpus=gpus, memory=ram, **hardware or {})
    return replace(HEALTHY, hardware=changed, **more)


def captured(machine: str, change: Callable[[Path], object] | None = None) -> DoctorInput:
    """Of ``tests/captures/machines/MACHINE.json``, as the probes read its files."""
    with TemporaryDirectory() as folder:
        root = plant_machine(Path(folder), machine)
        if change:
            change(root)
        hardware = snapshot.probe(root=root, models_dir=Path("/"), known_gpus=TABLE)
        return replace(HEALTHY, hardware=hardware, system=setup.probe(root))


@dataclass(frozen=True)
class Case:
    """A machine, the verdict of each finding on it, and texts that the findings contain."""

    id: str
    inputs: DoctorInput
    verdicts: tuple[Verdict, ...]
    texts: tuple[str, ...] = ()


def case_id(case: Case) -> str:
    return case.id


def judge(check: Check, case: Case) -> None:
    """A warning or an error has an effect and a fix; other findings have no effect."""
    findings = check(case.inputs)
    assert tuple(finding.status for finding in findings) == case.verdicts, findings
    for finding in findings:
        if finding.status in (WARNING, ERROR):
            assert finding.why, finding
            assert finding.fix, finding
        else:
            assert not finding.why, finding
    text = "\n".join(f"{finding.found}\n{finding.why}\n{finding.fix}" for finding in findings)
    for expected in case.texts:
        assert expected in text, text
