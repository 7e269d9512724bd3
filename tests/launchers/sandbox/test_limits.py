"""What an engine may use follows from its plan, and root takes nothing else from the daemon."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.launches.plan import HOST, DeviceMemory, VllmFlags
from domain.units import GIB, MIB
from launchers.sandbox import limits
from launchers.sandbox.limits import Devices, Limits
from launchers.sandbox.unit_limits import properties
from tests.launchers.llama_cpp.test_failures import plan_of


def row(device: str, needed_bytes: int) -> DeviceMemory:
    return DeviceMemory(device, needed_bytes, 0, 0, needed_bytes=needed_bytes)


def limited(*memory: DeviceMemory, margin_bytes: int = 0, **flags: object) -> Limits:
    return limits.of_plan(plan_of(Path("/m.gguf"), memory=memory, **flags), margin_bytes)


@pytest.mark.parametrize(
    ("needed", "high", "most"),
    [
        pytest.param(GIB, GIB + 512 * MIB, 2 * GIB, id="a small one: half a GiB each"),
        pytest.param(100 * GIB, 105 * GIB, 110 * GIB, id="a large one: a twentieth each"),
    ],
)
def test_what_is_planned_fits_with_a_margin(needed: int, high: int, most: int) -> None:
    found = limited(row(HOST, needed))
    assert (found.memory_high_bytes, found.memory_max_bytes) == (high, most)


def test_weights_of_gpus_may_pass_through_the_page_cache() -> None:
    assert limited(row(HOST, GIB), row("GPU0", 9 * GIB)) == limited(row(HOST, 10 * GIB))


def test_one_that_ran_out_of_memory_gets_its_larger_margin() -> None:
    found = limited(row(HOST, GIB), margin_bytes=GIB)
    assert (found.memory_high_bytes, found.memory_max_bytes) == (2 * GIB + 512 * MIB, 4 * GIB)


@pytest.mark.parametrize(
    ("flags", "locks"),
    [
        ({}, False),
        ({"load_mode": "mmap"}, False),
        ({"load_mode": "mmap+mlock"}, True),
        ({"load_mode": "mlock"}, True),
        ({"extra": ("--mlock",)}, True),
    ],
)
def test_memory_is_locked_where_that_is_planned(flags: dict[str, Any], *, locks: bool) -> None:
    found = limited(row(HOST, GIB), **flags)
    assert found.memlock_bytes == (found.memory_high_bytes if locks else 8 * MIB)


def test_what_libraries_of_vllm_lock_is_theirs() -> None:
    plan = replace(plan_of(Path("/m"), memory=(row("GPU0", GIB),)), flags=VllmFlags())
    assert limits.of_plan(plan).memlock_bytes is None
    assert limits.of_plan(plan).devices is Devices.EVERY


@pytest.mark.parametrize(
    ("memory", "flags", "devices"),
    [
        ((row("GPU0", GIB),), {"devices": ("CUDA0", "CUDA1")}, Devices.NVIDIA),
        ((row("GPU0", GIB),), {"devices": ("ROCm0",)}, Devices.AMD),
        ((row("GPU0", GIB),), {"devices": ("Vulkan1",)}, Devices.EVERY),
        ((row("GPU0", GIB),), {"devices": ("CUDA0", "ROCm0")}, Devices.EVERY),
        ((row("GPU0", GIB),), {}, Devices.EVERY),
        ((row(HOST, GIB),), {}, Devices.EVERY),
        ((row(HOST, GIB),), {"devices": ("none",)}, Devices.NO),
        ((row("GPU0", GIB),), {"devices": ("none",)}, Devices.EVERY),
        ((row(HOST, GIB),), {"devices": ("none",), "draft_devices": ("CUDA0",)}, Devices.EVERY),
        ((row("GPU0", GIB),), {"devices": ("CUDA0",), "mmproj_device": "ROCm0"}, Devices.EVERY),
    ],
)
def test_gpus_of_other_back_ends_are_closed(
    memory: tuple[DeviceMemory, ...], flags: dict[str, Any], devices: Devices
) -> None:
    assert limited(*memory, **flags).devices is devices


def asked(**changes: object) -> dict[str, object]:
    return {"memory_high_bytes": GIB, "memory_max_bytes": 2 * GIB, "devices": "none", **changes}


def test_root_sets_them() -> None:
    assert properties(asked()) == [
        *(f"MemoryHigh={GIB}", f"MemoryMax={2 * GIB}", "DevicePolicy=closed", "DeviceAllow="),
    ]
    for devices in Devices:
        assert len(set(properties(asked(devices=devices.value)))) == len(properties(asked(devices=devices)))
    assert "DeviceAllow=char-nvidia* rw" in properties(asked(devices="nvidia"))
    assert {"DeviceAllow=char-kfd rw", "DeviceAllow=char-drm rw"} <= set(properties(asked(devices="every")))


@pytest.mark.parametrize(
    "change",
    [
        {"memory_max_bytes": "1G\nUser=root"},
        {"memory_max_bytes": True},
        {"memory_high_bytes": 0},
        {"memory_high_bytes": 1 << 62},
        {"devices": "/dev/sda rw"},
    ],
)
def test_root_takes_nothing_else(change: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        properties(asked(**change))
