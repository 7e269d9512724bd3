"""A model that becomes a third slower for ten minutes: an event with its likely cause, and its end."""

from dataclasses import replace

import pytest

from daemon.launches.health.pace import Pace
from daemon.machine import snapshot
from daemon.planning.speed_history import pace_key
from domain.machine.accelerator import GpuProcess, PcieLink
from domain.machine.hardware import Gpu, Hardware
from tests.daemon.launches.stepped_daemon import Daemon, Start
from tests.daemon.launches.world import GIB, MACHINE, FakeProcess, World

CARD = Gpu(
    "pci:1", "nvidia", "RTX 3090", temperature_c=60.0, temperature_margin_c=30.0, power_limit_w=350.0,
    throttled_by=(), tenants=(), link=PcieLink(width_now=16),
)  # fmt: skip
MEMORY = replace(MACHINE.memory, swap_total_bytes=8 * GIB, swap_free_bytes=8 * GIB)
BEFORE = replace(MACHINE, gpus=(CARD,), memory=MEMORY)
SWAPPED = replace(BEFORE, memory=replace(MEMORY, swap_free_bytes=6 * GIB))
COMFY = GpuProcess(7, "python3 ComfyUI/main.py", GIB)


def with_card(**changes: object) -> Hardware:
    return replace(BEFORE, gpus=(replace(CARD, **changes),))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def coarse_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are polled seldom: hours pass."""
    monkeypatch.setattr(FakeProcess, "TICK_S", 15.0)


def drifts(daemon: Daemon) -> list[tuple[str, str]]:
    return [(one.kind, one.message) for one in daemon.events if one.kind in ("slow", "fast_again")]


@pytest.mark.parametrize(
    ("now", "cause"),
    [
        (with_card(temperature_c=88.0, temperature_margin_c=2.0), "heat: RTX 3090 is at its limit (88 °C)"),
        (with_card(power_limit_w=200.0), "the power limit of RTX 3090 is 200 W, was 350 W"),
        (with_card(tenants=(COMFY,)), "another process uses RTX 3090: python3 ComfyUI/main.py"),
        (with_card(link=PcieLink(width_now=4)), "the PCIe link of RTX 3090 has 4 lanes, had 16"),
        (SWAPPED, "swap: 2.0 GiB more are swapped out"),
    ],
    ids=["heat", "power cap", "tenant", "PCIe link", "swap"],
)  # fmt: skip
def test_a_drift_is_told_with_its_likely_cause_and_so_is_its_end(
    start: Start, world: World, now: Hardware, cause: str
) -> None:
    world.rate, world.machine = 10.0, BEFORE
    daemon = start(health_canary_s=6.0, health_interval_s=60.0, health_stall_s=60.0)
    launch = daemon.serve()
    daemon.pass_s(900)
    assert drifts(daemon) == []
    world.rate, world.machine = 6.0, now
    daemon.call(snapshot.probe_now(daemon.app))
    daemon.pass_s(600)
    assert drifts(daemon) == [], "it is slow for less than ten minutes"
    daemon.pass_s(300)
    told = f"a is slow: 6.0 tokens/s, 40 % less than its own 10.0; likely cause: {cause}"
    assert drifts(daemon) == [("slow", told)]
    daemon.pass_s(900)
    assert len(drifts(daemon)) == 1, "it is told once"
    world.rate = 9.0
    daemon.pass_s(300)
    assert drifts(daemon)[1:] == [("fast_again", "a is as fast as before: 9 tokens/s")]
    assert launch.plan is not None
    pace = daemon.call(daemon.app.store.recall(Pace, pace_key(launch.plan)))
    assert pace.tokens_per_s > 9, "what was slow is no part of its own speed"
    assert daemon.launch.attempts.restarts == 0


def test_a_slow_while_is_not_told(start: Start, world: World) -> None:
    world.rate, world.machine = 10.0, BEFORE
    daemon = start(health_canary_s=6.0, health_interval_s=60.0, health_stall_s=60.0)
    daemon.serve()
    daemon.pass_s(900)
    world.rate = 6.0
    daemon.pass_s(400)
    world.rate = 10.0
    daemon.pass_s(1200)
    assert drifts(daemon) == []
