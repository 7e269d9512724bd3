"""What is measured once a boot: kept over daemons, measured anew after a reboot, never in a peak's place."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from daemon.app import App
from daemon.machine import bandwidth
from daemon.quarantine.in_flight import InFlight
from daemon.state.store import Store
from domain.machine.hardware import BandwidthSource, Hardware, Memory, Storage
from domain.machine.provenance import Certainty
from domain.units import MIB
from probes.benchmarks.disk import ReadRate
from tests.daemon.test_child import Child

SEEN = Hardware(
    memory=Memory(bandwidth_bytes_per_s=51e9, peak_bandwidth_bytes_per_s=51e9), storage=Storage("/models")
)


@dataclass
class Bench:
    """Counts how often it measures."""

    rate: ReadRate | None = None
    bandwidth_bytes_per_s: float | None = None
    counted: list[str] = field(default_factory=list)

    def measure_read_rate(self) -> ReadRate | None:
        self.counted.append("disk")
        return self.rate

    async def measure_bandwidth(self) -> float | None:
        self.counted.append("RAM")
        return self.bandwidth_bytes_per_s


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await asyncio.to_thread(Store, tmp_path / "state.db")


def app(store: Store, bench: Bench, boot_id: str = "one", models_dir: str = "/models") -> App:
    settings = SimpleNamespace(models_dir=Path(models_dir))
    made = SimpleNamespace(
        store=store,
        adapters=bench,
        boot_id=boot_id,
        settings=settings,
        measuring_lock=asyncio.Lock(),
        in_flight=InFlight(store, boot_id),
    )
    return cast("App", made)


@pytest.mark.parametrize(("of_weights", "words"), [(True, "of weights"), (False, "there were no weights")])
async def test_the_rate_of_the_disk_is_measured_once_a_boot(
    store: Store, of_weights: bool, words: str
) -> None:
    bench = Bench(rate=ReadRate(2e9, of_weights))
    for _ in range(2):  # two daemons of one boot
        await bandwidth.measure_read_rate(app(store, bench))
    seen = await bandwidth.with_benchmarks(app(store, bench), SEEN, None)
    assert bench.counted == ["disk"]
    assert seen.storage is not None
    assert seen.storage.read_bytes_per_s == 2e9
    provenance = seen.sources["storage.read_bytes_per_s"]
    assert provenance.certainty is Certainty.MEASURED
    assert words in provenance.note
    later = app(store, bench, boot_id="two")
    assert (await bandwidth.with_benchmarks(later, SEEN, None)).storage == SEEN.storage
    await bandwidth.measure_read_rate(later)
    await bandwidth.measure_read_rate(app(store, bench, models_dir="/elsewhere"))
    assert bench.counted == ["disk"] * 3


async def test_a_disk_that_cannot_be_measured_is_unknown_and_not_written_to_again(store: Store) -> None:
    bench = Bench(rate=None)
    for _ in range(2):
        await bandwidth.measure_read_rate(app(store, bench))
    assert bench.counted == ["disk"]
    assert (await bandwidth.with_benchmarks(app(store, bench), SEEN, None)).storage == SEEN.storage


async def test_ram_that_was_too_full_is_measured_by_a_later_snapshot(store: Store) -> None:
    bench = Bench()
    one = app(store, bench)
    assert await bandwidth.get_or_measure_bandwidth(one) is None
    bench.bandwidth_bytes_per_s = 40e9
    assert await asyncio.gather(
        bandwidth.get_or_measure_bandwidth(one), bandwidth.get_or_measure_bandwidth(one)
    ) == [40e9, 40e9]
    assert await bandwidth.get_or_measure_bandwidth(app(store, bench)) == 40e9
    assert bench.counted == ["RAM", "RAM"], "two at once share one measurement"


async def test_what_is_measured_leaves_the_peak_beside_it(store: Store) -> None:
    seen = (await bandwidth.with_benchmarks(app(store, Bench()), SEEN, 40e9)).memory
    assert (seen.bandwidth_bytes_per_s, seen.bandwidth_source) == (40e9, BandwidthSource.MEASURED)
    assert seen.peak_bandwidth_bytes_per_s == 51e9
    nothing = await bandwidth.with_benchmarks(app(store, Bench()), SEEN, None)
    assert nothing.memory == SEEN.memory


def test_what_the_measurement_needs_is_not_the_daemons(tmp_path: Path) -> None:
    child = Child(tmp_path).up()
    try:
        source = child.get("/v1/probe")["memory"]["bandwidth_source"]
        status = Path("/proc", str(child.process.pid), "status").read_text()
    finally:
        child.end()
    peak_bytes = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert source == "measured"
    assert peak_bytes < 128 * MIB
