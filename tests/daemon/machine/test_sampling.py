"""Samples of sensors, memory and pressure: a planted sensor, one that hangs, a GPU that sleeps."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.data import known_gpus
from config.settings import Settings
from daemon.events.samples import Samples
from daemon.machine import sampling
from domain.machine.sample import Sample, Stall
from probes import sample, stalls
from probes.context import ProbeState
from tests.daemon.conftest import FakeLauncher, Running, fake_adapters
from tests.rigs.trees import plant

CHIP = "sys/class/hwmon/hwmon0"
SENSOR = {
    f"{CHIP}/name": "coretemp\n",
    f"{CHIP}/temp1_label": "Package id 0\n",
    f"{CHIP}/temp1_crit": "100000\n",
}
PRESSURE = "some avg10=12.50 avg60=1.00 avg300=0.10 total=9\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=1\n"
CARD = "sys/bus/pci/devices/0000:03:00.0"


async def test_a_daemon_samples_a_sensor_again_and_again(
    daemon: Running, settings: Settings, launcher: FakeLauncher, tmp_path: Path
) -> None:
    root = plant(tmp_path / "root", {**SENSOR, f"{CHIP}/temp1_input": "71000\n"}, {"proc": "/proc"})
    update = {"sysroot": root, "sample_interval_s": 0.02, "probe_interval_s": 0.02}
    of = settings.model_copy(update=update)
    async with daemon(fake_adapters(of, launcher), of=of) as api, asyncio.timeout(60):
        samples = api.app.samples.follow()
        assert (await anext(samples)).hardware.cpu.temperature_c == 71
        (root / CHIP / "temp1_input").write_text("88000\n")
        found = [one async for one in _until(samples, lambda one: one.hardware.cpu.temperature_c == 88)][-1]
    assert found.hardware.thermals[0].critical_c == 100
    assert found.hardware.memory.available_bytes
    assert [one async for one in samples] == [], "followers end with the daemon"


async def _until(samples, fits):
    async for one in samples:
        yield one
        if fits(one):
            return


def test_a_sleeping_gpu_is_not_read(tmp_path: Path) -> None:
    files = {"vendor": "0x1002", "device": "0x7480", "revision": "0xc0", "class": "0x030000"}
    files |= {"power/runtime_status": "suspended", "hwmon/hwmon3/temp1_input": "55000", "gpu_metrics": "x"}
    root = plant(
        tmp_path,
        {f"{CARD}/{name}": text for name, text in files.items()} | {"proc/pressure/memory": PRESSURE},
        {f"{CARD}/driver": "../../../bus/pci/drivers/amdgpu"},
    )
    found = sample.probe(root=root, models_dir=root, known_gpus=known_gpus(), state=ProbeState())
    (gpu,) = found.hardware.gpus
    assert (gpu.asleep, gpu.temperature_c, gpu.throttled_by) == (True, None, None)
    assert found.stalls == {"memory": Stall(0.125, 0.03)}


@pytest.mark.parametrize(
    "text", ["", "some avg10=\nfull", "some avg10=nan avg60=0\n", "full avg10=1.0 avg60"]
)
def test_pressure_that_is_not_told_is_unknown(text: str) -> None:
    assert stalls.parse(text) is None


def test_a_kernel_without_the_second_line_of_the_cpu(tmp_path: Path) -> None:
    assert stalls.parse("some avg10=100.00 avg60=0.0 avg300=0.0 total=1") == Stall(1.0, None)


def test_a_machine_without_an_engine_is_sampled_seldom() -> None:
    app = SimpleNamespace(
        launches={}, samples=Samples(), settings=SimpleNamespace(sample_interval_s=5, probe_interval_s=60)
    )
    assert sampling.is_due(app, 0.0)
    app.samples.publish(Sample(0.0, 100.0))
    assert [sampling.is_due(app, now_s) for now_s in (105.0, 159.9, 160.0)] == [False, False, True]
    app.launches["a"] = SimpleNamespace(engine=object(), orders=SimpleNamespace(holds={}))
    assert sampling.is_due(app, 105.0)


async def test_sensors_that_hang_are_told_and_read_no_second_time(
    daemon: Running, settings: Settings, launcher: FakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "LATE_S", 0.05)
    answering, asked = threading.Event(), []

    def hang() -> Sample:
        asked.append(1)
        answering.wait(60)
        return Sample(0.0, 0.0)

    of = settings.model_copy(update={"sample_interval_s": 0.02})
    adapters = replace(fake_adapters(of, launcher), sample=hang)
    async with daemon(adapters, of=of) as api, asyncio.timeout(60):
        kinds = (event.kind async for event in api.app.events.read(0, follow=True))
        try:
            assert "sensors_hang" in [
                kind async for kind in _until(kinds, lambda kind: kind == "sensors_hang")
            ]
            assert len(asked) == 1
            samples = api.app.samples.follow()
        finally:
            answering.set()
        await anext(samples)
        kinds = (event.kind async for event in api.app.events.read(0, follow=True))
        assert [kind async for kind in _until(kinds, lambda kind: kind == "sensors_answer")]
