"""A planted sensor through soft, hard and back, under a daemon with an engine."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from daemon.guards import heat_limits, heat_policy
from probes import sample
from probes.context import ProbeState
from tests.daemon.conftest import Api, FakeLauncher, Running, fake_adapters
from tests.rigs.trees import plant

CHIP = "sys/class/hwmon/hwmon0"
SENSOR = {
    f"{CHIP}/name": "coretemp\n",
    f"{CHIP}/temp1_label": "Package id 0\n",
    f"{CHIP}/temp1_crit": "100000\n",
    f"{CHIP}/temp1_input": "60000\n",
}


@pytest.fixture
def hot_box(settings: Settings, tmp_path: Path) -> tuple[Settings, Callable[[float], None]]:
    """Settings of a box with one sensor, and how that is heated."""
    root = plant(tmp_path / "root", SENSOR, {"proc": "/proc"})
    update = {"sysroot": root, "sample_interval_s": 0.02, "probe_interval_s": 0.02, "health_canary_s": 0}
    inputs = root / CHIP / "temp1_input"
    return settings.model_copy(update=update), lambda degrees: _replace(inputs, f"{degrees * 1000:.0f}\n")


def _replace(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


async def _event(api: Api, kind: str, last: list[int]) -> str:
    async for event in api.app.events.read(last[0], follow=True):
        if event.kind == kind:
            last[0] = event.id
            return event.message
    raise AssertionError(f"the daemon ended without {kind}")


async def test_a_sensor_through_soft_and_hard_and_back(
    daemon: Running, hot_box: Any, launcher: FakeLauncher, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never, at_once = 1e9, 0.0
    for name in ("RAISE_S", "HARD_S", "LOWER_S"):
        monkeypatch.setattr(heat_policy, name, never)
    of, heat_to = hot_box
    async with daemon(fake_adapters(of, launcher), of=of) as api, asyncio.timeout(100):
        name = (await api.launched(smollm2, parallel=4))["name"]
        launch, last = api.app.launches[name], [0]
        heat_to(99.5)
        assert "is at 100 °C (limits 99 and 105 °C): half as many" in await _event(api, "hot", last)
        await _looked_at(api)
        assert launch.throttle.parallel == 2
        monkeypatch.setattr(heat_policy, "RAISE_S", at_once)
        assert "one request at a time" in await _event(api, "hot", last)
        await _looked_at(api)
        assert (launch.throttle.parallel, launch.throttle.pause_s) == (1, 5.0)
        assert launch.process is not None, "a CPU throttles itself below its hard limit"
        problems = (await api.get("/v1/status"))["problems"]
        assert any("one request at a time" in problem["what"] for problem in problems)
        monkeypatch.setattr(heat_policy, "HARD_S", at_once)
        heat_to(106)
        assert "its models are unloaded" in await _event(api, "hot", last)
        row = await api.row(name, lambda row: row["state"] == "queued" and row["pid"] is None)
        assert row["waiting"].endswith(" to cool")
        heat_to(60)
        monkeypatch.setattr(heat_policy, "LOWER_S", at_once)
        assert "one request at a time" in await _event(api, "cooler", last)
        await api.row(name, lambda row: row["state"] == "ready")
        told = await _event(api, "cool", last)
        assert "is at 60 °C, and all is as before (106 °C at most; for " in told
        await _looked_at(api)
        assert (launch.throttle.parallel, launch.throttle.pause_s) == (None, 0.0)
        assert not any(one["source"] == "heat" for one in (await api.get("/v1/status"))["problems"])
        kinds = [event.kind async for event in api.app.events.read(0, follow=False)]
    assert [kind for kind in kinds if kind in ("held", "released")] == ["held", "released"]


async def _looked_at(api: Api) -> None:
    """A guard that gets the second sample from now on has done with the first one."""
    samples = api.app.samples.follow()
    for _ in range(3):
        await anext(samples)


def test_a_sentinel_is_no_heat(tmp_path: Path) -> None:
    for degrees in (149, 127.875, 255, -273.15):
        root = plant(tmp_path, SENSOR | {f"{CHIP}/temp1_input": f"{degrees * 1000:.0f}\n"})
        found = sample.probe(root=root, models_dir=root, known_gpus=(), state=ProbeState())
        assert list(heat_limits.readings(found.hardware)) == []


@pytest.mark.parametrize("on", [True, False])
async def test_an_owner_can_switch_it_off(
    daemon: Running, hot_box: Any, launcher: FakeLauncher, on: bool
) -> None:
    of, heat_to = hot_box
    of = of.model_copy(update={"heat_guard": on})
    heat_to(99.5)
    async with daemon(fake_adapters(of, launcher), of=of) as api, asyncio.timeout(60):
        await _looked_at(api)
        kinds = [event.kind async for event in api.app.events.read(0, follow=False)]
    assert ("hot" in kinds) is on
