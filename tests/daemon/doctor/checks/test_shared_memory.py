"""AMD GPUs that share the RAM: how much of it they can use."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.doctor.checks import shared_memory
from domain.machine.hardware import MemoryKind
from domain.units import GIB
from probes.gpus.amd.apu import MemoryPools
from probes.system.setup import System
from tests.daemon.doctor.checks.build import (
    GB10,
    HALO,
    HEALTHY,
    NOT_KNOWN,
    OK,
    RTX_3090,
    WARNING,
    Case,
    captured,
    case_id,
    inputs,
    judge,
)
from tests.rigs.trees import plant

CARD = "sys/bus/pci/devices/0000:c3:00.0"
BANK = "sys/class/kfd/kfd/topology/nodes/1/mem_banks/0/properties"


def carve_out_below_gtt(root: Path) -> None:
    (root / BANK).unlink()
    plant(root, {f"{CARD}/mem_info_vram_total": f"{32 * GIB}"})


CASES = [
    Case("no such GPU", inputs(RTX_3090), ()),
    Case("none at all", HEALTHY, ()),
    Case("NVIDIA's, which takes what it needs", inputs(GB10), ()),
    Case(
        "a card of AMD's with memory of its own", inputs(replace(HALO, memory_kind=MemoryKind.DEDICATED)), ()
    ),
    Case(
        "gttsize as the driver chooses it",
        inputs(
            replace(HALO, memory_total_bytes=93 * GIB),
            system=System(command_line="amdgpu.gttsize=-1 ttm.pages_limit=24576000"),
        ),
        (OK,),
    ),
    Case(
        "Strix Halo by default: half of the RAM",
        captured("strix-halo-128"),
        (WARNING,),
        ("may map 62.5 GiB of 124.9 GiB RAM", "ttm.pages_limit=30408704 ttm.page_pool_size=30408704"),
    ),
    Case(
        "the limit raised, as its owner measured it (github.com/noamsto/nix-amd-ai/issues/42)",
        inputs(replace(HALO, memory_total_bytes=96 * GIB)),
        (OK,),
        ("may map 96.0 GiB of 120.0 GiB RAM",),
    ),
    Case(
        "AMD's own build of the driver has another module",
        inputs(HALO, system=System(modules={"amdttm": {"pages_limit": "1"}})),
        (WARNING,),
        ("amdttm.pages_limit=",),
    ),
    Case(
        "a carve-out that is unused, because GTT is larger",
        captured("strix-halo-128", carve_out_below_gtt),
        (WARNING,),
        ("the BIOS carve-out of 32.0 GiB is unused",),
    ),
    Case(
        "a carve-out that is used",
        inputs(
            replace(HALO, memory_total_bytes=96 * GIB),
            memory={"total_bytes": 31 * GIB},
            system=System(pools={"0000:c3:00.0": MemoryPools(vram_bytes=96 * GIB, gtt_bytes=15 * GIB)}),
        ),
        (OK,),
        ("96.0 GiB, reserved by the firmware",),
    ),
    Case(
        "a misspelled parameter",
        inputs(
            replace(HALO, memory_total_bytes=100 * GIB),
            system=System(
                command_line="quiet amdgpu.gtt_size=117760 iommu=pt",
                modules={"amdgpu": {"gttsize": "-1", "cwsr_enable": "1"}},
            ),
        ),
        (OK, WARNING),
        ("amdgpu.gtt_size is not a parameter of amdgpu", "write amdgpu.gttsize"),
    ),
    Case(
        "two limits that differ",
        inputs(
            replace(HALO, memory_total_bytes=93 * GIB),
            system=System(command_line="amdgpu.gttsize=117760 ttm.pages_limit=24576000"),
        ),
        (OK, WARNING),
        ("amdgpu.gttsize is 115.0 GiB and pages_limit 93.8 GiB",),
    ),
    Case(
        "two limits that agree",
        inputs(
            replace(HALO, memory_total_bytes=96 * GIB),
            system=System(command_line="amdgpu.gttsize=98304 ttm.pages_limit=25165824"),
        ),
        (OK,),
    ),
    Case("unknown", inputs(replace(HALO, memory_total_bytes=None)), (NOT_KNOWN,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_how_much_of_the_ram_the_gpu_can_use(case: Case) -> None:
    judge(shared_memory.check, case)
