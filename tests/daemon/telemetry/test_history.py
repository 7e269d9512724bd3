"""What a history tells of recorded samples, and whom it can be asked of."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from daemon.app import App
from daemon.events.gateway_state import TokenCount
from daemon.state.telemetry.telemetry import Telemetry
from daemon.telemetry.history import history
from daemon.telemetry.meter import Meter
from daemon.telemetry.recorder import Recorder
from daemon.telemetry.subjects import Asked
from domain.errors import StateError, UsageError
from domain.machine.hardware import Gpu, Hardware, Memory
from domain.machine.sample import Sample
from domain.telemetry import DAY_S, History, Metric, Series
from tests.daemon.conftest import Running

NOW_S = 1_800_000_000 // 3600 * 3600
A, B = "pci:0000:01:00.0", "pci:0000:02:00.0"
MINUTES = 120


def box(minute: int) -> Hardware:
    """A warms up; B is new after an hour."""
    first = Gpu(A, "nvidia", "RTX 3090", temperature_c=40 + minute / 10, power_w=100.0)
    second = Gpu(B, "nvidia", "RTX 4090", temperature_c=45.0, power_w=None)
    return Hardware(
        memory=Memory(total_bytes=64 << 30, available_bytes=32 << 30),
        gpus=(first, second) if minute >= 60 else (first,),
    )


@pytest.fixture
async def app(daemon: Running) -> AsyncIterator[App]:
    """Two hours of samples, a minute apart, the last one at NOW_S; the daemon was off for ten of them."""
    async with daemon() as api:
        app = replace(api.app, telemetry=Telemetry(api.app.settings.state_dir / "telemetry.db"))
        recorder = Recorder(app, app.telemetry)  # type: ignore[arg-type]
        count = app.gateway.token_counts.setdefault("smol", TokenCount())
        recorder._meter = Meter(120.0)
        for minute in range(MINUTES + 1):
            if 30 < minute <= 40:
                continue
            count.add(10, 2 if minute % 2 else None)
            if minute == MINUTES:
                count.add(None, None)
            await recorder.on_sample(Sample(NOW_S - (MINUTES - minute) * 60, minute * 60.0, box(minute)))
        app.samples.latest = Sample(NOW_S, MINUTES * 60.0, box(MINUTES))
        yield app
        await app.telemetry.close()


async def ask(app: App, **asked: object) -> History:
    return await history(app, Asked(**asked), now_s=NOW_S + 30)  # type: ignore[arg-type]


def of(found: History, metric: Metric, subject: str) -> Series:
    return next(one for one in found.series if (one.metric, one.subject) == (metric, subject))


async def test_a_window_has_whole_steps_up_to_now_and_gaps_stay_gaps(app: App) -> None:
    found = await ask(app, since_s=3 * 3600, points=40)
    assert (found.step_s, found.until_s) == (300, NOW_S + 300)
    assert found.since_s <= NOW_S + 30 - 3 * 3600
    series = of(found, Metric.TEMPERATURE, A)
    assert len(series.points) == (found.until_s - found.since_s) // 300 <= 40
    by_minute = {
        (found.since_s + number * 300 - NOW_S) // 60 + MINUTES: point
        for number, point in enumerate(series.points)
    }
    assert by_minute[-5] is None, "before anything was recorded"
    assert (by_minute[30].samples, by_minute[35], by_minute[40].samples) == (1, None, 4)
    assert (by_minute[10].lowest, by_minute[10].mean, by_minute[10].highest) == (41.0, 41.2, 41.4)
    assert (series.lowest, series.highest, series.unit) == (40.0, 52.0, "°C")
    assert all(point.total is None for point in series.points if point)


async def test_the_summary_has_tokens_energy_and_the_hottest_moment(app: App) -> None:
    found = await ask(app, what="power", since_s=5 * 3600)
    recorded = MINUTES + 1 - 10
    assert (found.summary.prompt_tokens, found.summary.generated_tokens) == (10 * recorded, 2 * 55)
    assert found.summary.unknown_answers == 1
    energy_min = MINUTES - 11  # a minute for each two samples in a row
    assert found.summary.energy_wh == {"GPU0 RTX 3090": pytest.approx(100 * energy_min / 60, abs=0.01)}
    hottest = found.summary.hottest
    assert hottest is not None
    assert (hottest.name, hottest.temperature_c, hottest.at_s, hottest.within_s) == (
        *("GPU0 RTX 3090", 52.0, NOW_S, 60),
    )
    assert [(one.metric, one.subject) for one in found.series] == [(Metric.POWER, A)]
    assert found.recorded_since_s == NOW_S - MINUTES * 60


async def test_what_is_not_known_is_none_and_no_zero(app: App) -> None:
    found = await ask(app, device="GPU1")
    assert {one.metric for one in found.series} == {Metric.TEMPERATURE}, "it tells no power and no memory"
    assert found.summary.energy_wh == {}
    assert found.summary.prompt_tokens is None, "of a device nobody counts tokens"
    empty = await ask(app, since_s=60, what="energy", launch="smol")
    assert (empty.series, empty.summary.hottest) == ((), None)


@pytest.mark.parametrize(
    ("device", "name"),
    [("GPU0", "GPU0 RTX 3090"), ("gpu1", "GPU1 RTX 4090"), (A.upper(), "GPU0 RTX 3090"), ("cpu", "host")],
)
async def test_a_device_has_several_names(app: App, device: str, name: str) -> None:
    found = await ask(app, device=device)
    assert {one.name for one in found.series} == {name}


async def test_a_gpu_that_is_gone_keeps_its_history_under_its_id(app: App) -> None:
    app.samples.latest = Sample(NOW_S, 0.0, box(0))
    found = await ask(app, device=B)
    assert {one.name for one in found.series} == {f"RTX 4090 ({B})"}


async def test_a_launch_that_is_called_like_a_device_is_another_one(app: App) -> None:
    app.gateway.token_counts["host"] = TokenCount(7, 7, 0)
    recorder = Recorder(app, app.telemetry)  # type: ignore[arg-type]
    await recorder.on_sample(Sample(NOW_S, 1e6, box(MINUTES)))
    assert {one.subject for one in (await ask(app, launch="host")).series} == {"launch:host"}
    assert {one.subject for one in (await ask(app, device="host")).series} == {"host"}


@pytest.mark.parametrize(
    ("asked", "said", "hint"),
    [
        pytest.param(
            {"what": "temprature"}, "'temprature'", "temperature? There are temperature, power, ", id="what"
        ),
        pytest.param(
            {"what": "fans"}, "'fans'", "there are temperature, power, memory, tokens, energy", id="no"
        ),
        pytest.param(
            {"device": "GPU7"},
            "no device is called 'GPU7'",
            "did you mean GPU1? There are GPU0, GPU1, host",
            id="device",
        ),
        pytest.param({"launch": "smoll"}, "'smoll'", "did you mean smol? There is only smol", id="launch"),
        pytest.param({"since_s": 91 * DAY_S}, "kept for 90 days, and 91 were", "--since 90d", id="too old"),
        pytest.param(
            {"what": "tokens", "device": "host"}, "of launches", "--launch", id="tokens of a device"
        ),
        pytest.param({"what": "memory", "launch": "smol"}, "of devices", "--device", id="memory of a launch"),
    ],
)
async def test_what_there_is_not_names_what_there_is(
    app: App, asked: dict[str, object], said: str, hint: str
) -> None:
    with pytest.raises(UsageError) as raised:
        await ask(app, **asked)
    assert said in str(raised.value)
    assert hint in raised.value.hint


async def test_where_it_is_off_it_says_so(app: App) -> None:
    with pytest.raises(UsageError, match="the setting telemetry is false"):
        await history(replace(app, telemetry=None), Asked())


async def test_a_disk_that_is_full_still_has_what_was_stored(app: App) -> None:
    app.telemetry.paused = "database or disk is full"
    app.telemetry.write = _fails  # type: ignore[method-assign, union-attr]
    found = await ask(app)
    assert found.paused
    assert found.series


async def _fails(*_: object, **__: object) -> None:
    raise StateError("database or disk is full")
