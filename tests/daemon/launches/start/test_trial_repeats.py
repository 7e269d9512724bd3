"""A trial of thread counts holds while what it rests on is the same and the machine was calm; else, and on
request, it is repeated, and its owner reads why."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from daemon.app import Adapters
from daemon.launches.start.trial_record import ThreadTrial, TrialBasis, busy_note
from daemon.planning.speed_history import cpu_key, threads_key, trial_key
from domain.launches.plan import Plan
from domain.machine.hardware import Cpu
from domain.serialization import from_json
from launchers.base import Capabilities
from probes.cpu.pressure import Pressure, parse_last_minute_share, parse_stalled_s
from tests.daemon.conftest import Api, Running

CAPTURED = json.loads((Path(__file__).parents[3] / "captures/linux/psi-cpu.json").read_text())
READINGS = [Pressure(parse_stalled_s(reading["text"]) or 0.0, reading["at_s"]) for reading in CAPTURED]
BUSY = (READINGS[0], READINGS[1], READINGS[1], READINGS[2])  # before and after one thread, then two
CALM = [replace(READINGS[0], at_s=READINGS[0].at_s + 2 * turn) for turn in range(32)]
STILL_BUSY = (replace(READINGS[2], last_minute_share=parse_last_minute_share(CAPTURED[2]["text"])),)
BUSY_NOTE = "measured while the CPU was busy (tasks waited 90 % of the time): repeated at a calmer start"
TWO_CPUS = Cpu(model="a CPU", logical_cpus=2, usable_cpus=2)


def box(
    adapters: Adapters, readings: Iterable[Pressure | None], cpu: Cpu = TWO_CPUS, version: str = "fake"
) -> Adapters:
    """A machine of that CPU and pressure, with that build of the engine."""
    told, real, engine = cycle(readings), adapters.probe, adapters.engine
    return replace(
        adapters,
        probe=lambda: replace(real(), cpu=cpu),
        cpu_pressure=lambda: next(told),
        engine=lambda name: replace(engine(name), version=version),
    )


async def tuning(api: Api, smollm2: Path, **body: object) -> list[str]:
    """What a launch says of its threads, until it is ready."""
    answer = await api.post("/v1/launches", model=str(smollm2), name="tiny", **body)
    assert answer.status_code == 202, answer.text
    steps = await api.progress("tiny")
    assert steps[-1]["step"] == "ready", steps[-1]
    return [step["message"] for step in steps if step["step"] == "tune"]


async def tuned_again(api: Api, smollm2: Path) -> list[str]:
    await api.post("/v1/launches/tiny/stop")
    return await tuning(api, smollm2)


async def stored(api: Api) -> ThreadTrial | None:
    plan = from_json(Plan, (await api.get("/v1/launches/tiny"))["plan"])
    return await api.app.store.recall(ThreadTrial, trial_key(plan.weights))


async def tuned_events(api: Api) -> list[str]:
    events = [event async for event in api.app.events.read(0, follow=False)]
    return [event.message for event in events if event.kind == "tuned"]


async def test_a_trial_on_a_busy_machine_says_so_and_is_repeated_at_a_calmer_start(
    daemon: Running, smollm2: Path, adapters: Adapters
) -> None:
    async with daemon(box(adapters, BUSY)) as api:
        said = await tuning(api, smollm2)
        row, events = await stored(api), await tuned_events(api)
        guess = await api.app.store.recall(int, cpu_key(TWO_CPUS))
    assert said[0] == "trying 1, 2 threads"
    assert said[-1] == BUSY_NOTE
    assert row is not None
    assert row.was_busy
    assert [message.endswith(BUSY_NOTE) for message in events] == [True]
    assert guess is None, "plans of other models don't build on it"
    async with daemon(box(adapters, STILL_BUSY)) as api:
        steps = await api.progress("tiny")
    assert steps[-1]["step"] == "ready"
    assert "tune" not in [step["step"] for step in steps], "another trial would tell no more"
    async with daemon(box(adapters, CALM)) as api:
        again = [step["message"] for step in await api.progress("tiny") if step["step"] == "tune"]
        row, third = await stored(api), await tuned_again(api, smollm2)
    assert again[0] == "trying 1, 2 threads again: the CPU was busy when they were tried"
    assert row is not None
    assert row.stalled_share == 0.0
    assert third == [], "measured on a calm machine it holds"


async def test_an_engine_that_crashed_serves_again_before_threads_are_tried_again(
    daemon: Running, smollm2: Path, adapters: Adapters
) -> None:
    async with daemon(box(adapters, BUSY)) as api:
        await tuning(api, smollm2)
        launch = api.app.launches["tiny"]
        assert launch.process is not None
        await launch.process.stop()
        await api.row("tiny", lambda row: row["state"] == "ready" and row["restarts"] == 1)
        assert len(await tuned_events(api)) == 1


@pytest.mark.parametrize(
    ("cpu", "version", "why"),
    [
        pytest.param(replace(TWO_CPUS, quota_cpus=2.0), "fake", "CPU quota 2.0 after none", id="a quota"),
        pytest.param(
            replace(TWO_CPUS, logical_cpus=4, usable_cpus=4),
            "fake",
            "CPUs online 4 after 2, CPUs allowed 4 after 2",
            id="more cores",
        ),
        pytest.param(TWO_CPUS, "newer", "(newer) after ", id="another build"),
    ],
)
async def test_a_trial_is_repeated_when_what_it_rests_on_changed(
    daemon: Running, smollm2: Path, adapters: Adapters, cpu: Cpu, version: str, why: str
) -> None:
    async with daemon(box(adapters, CALM)) as api:
        await tuning(api, smollm2)
        assert await tuned_again(api, smollm2) == []
        await api.post("/v1/launches/tiny/stop")
    async with daemon(box(adapters, CALM, cpu, version)) as api:
        said = await tuning(api, smollm2)
    assert " threads again: " in said[0]
    assert why in said[0]


async def test_on_request_a_launch_that_is_served_tries_its_threads_again(
    daemon: Running, smollm2: Path, adapters: Adapters
) -> None:
    async with daemon(box(adapters, CALM)) as api:
        await tuning(api, smollm2)
        before = (await api.get("/v1/launches/tiny"))["launch"]
        said = await tuning(api, smollm2, retune=True)
        after = (await api.get("/v1/launches/tiny"))["launch"]
        assert (await api.post("/v1/launches", model=str(smollm2), name="tiny")).status_code == 200
        assert await tuned_again(api, smollm2) == [], "once asked for, once done"
    assert said[0] == "trying 1, 2 threads again: as asked for"
    assert before["pid"] != after["pid"]


async def test_a_request_where_there_is_nothing_to_try_is_told_why(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        said = await tuning(api, smollm2, retune=True, threads=1)
    assert said == ["no thread counts to try: 1 was asked for"]


async def test_without_psi_a_trial_holds_and_says_nothing_of_load(
    daemon: Running, smollm2: Path, adapters: Adapters
) -> None:
    async with daemon(box(adapters, (None,))) as api:
        said, row = await tuning(api, smollm2), await stored(api)
        assert row is not None
        assert row.stalled_share is None
        assert not [line for line in said if "busy" in line]
        assert await tuned_again(api, smollm2) == []


async def test_a_result_that_an_earlier_version_stored_is_used(
    daemon: Running, smollm2: Path, adapters: Adapters
) -> None:
    async with daemon(box(adapters, CALM)) as api:
        await tuning(api, smollm2)
        plan = from_json(Plan, (await api.get("/v1/launches/tiny"))["plan"])
        await api.post("/v1/launches/tiny/stop", forget=True)
        caps: Capabilities = api.app.adapters.engine("llama.cpp")
        old: dict[str, Any] = {"best": 1, "rates": {"1": 40.0, "2": 20.0}}
        facts = api.app.store.measurements
        await api.app.store.record(threads_key(plan, caps, TWO_CPUS), old)
        await api.app.store.record(trial_key(plan.weights), "gone")
        assert await api.app.store.run(facts.get, ThreadTrial, trial_key(plan.weights)) is None
        assert await tuning(api, smollm2) == []
        assert (await api.get("/v1/launches/tiny"))["plan"]["flags"]["threads"] == 1


def test_a_little_waiting_is_no_busy_machine() -> None:
    assert busy_note(None) == busy_note(0.0) == busy_note(0.09) == ""
    assert (
        busy_note(0.1)
        == "measured while the CPU was busy (tasks waited 10 % of the time): repeated at a calmer start"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda basis: basis, None),
        (lambda basis: replace(basis, cpu_model=None), "CPU unknown after a CPU"),
        (lambda basis: replace(basis, engine=("/x", None)), "engine /x (version unknown) after /x (b1)"),
        (lambda basis: replace(basis, quota_cpus=1.5), "CPU quota 1.5 after none"),
    ],
)
def test_what_changed_is_told_in_words(change: Callable[[TrialBasis], TrialBasis], said: str | None) -> None:
    basis = TrialBasis.of(Capabilities("llama.cpp", "/x", "b1"), TWO_CPUS)
    assert basis.change(change(basis)) == said
