"""Schedules of a daemon: what is due is done by the usual orders, told, and not done twice."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.schedules.service import run_due
from domain.launches.schedule import Missed
from tests.daemon.conftest import Api, Running

DAY = timedelta(days=1)


async def add(api: Api, words: str, action: str, *names: str, **more: object) -> dict[str, Any]:
    answer = await api.post("/v1/schedules", words=words, action=action, names=list(names), **more)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def run_at(api: Api, moment: datetime) -> list[dict[str, Any]]:
    """Does what is due then; the schedules as they are after it."""
    await run_due(api.app, moment)
    for task in tuple(api.app.schedules.running.values()):
        await task
    return list(await api.get("/v1/schedules"))


def tomorrow(api: Api, clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return (datetime.now(api.app.zone) + DAY).replace(hour=hour, minute=minute, second=1)


async def states(api: Api) -> dict[str, str]:
    return {row["name"]: row["state"] for row in await api.get("/v1/launches")}


async def events(api: Api, kind: str) -> list[str]:
    return [event.message async for event in api.app.events.read(0, follow=False) if event.kind == kind]


async def test_models_are_swapped_in_a_window_and_back_at_its_end(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="day")
        await api.launched(smollm2, name="night")
        await api.post("/v1/launches/night/stop")
        row = await add(api, "every night 1:00-6:00", "swap", "day", "night")
        assert (row["begin"], row["end"], row["last"]) == ("0 1 * * *", "0 6 * * *", None)
        (row,) = await run_at(api, tomorrow(api, "1:00"))
        assert await states(api) == {"day": "stopped", "night": "ready"}
        assert row["last"]["result"].startswith("day is stopped; night is ready")
        await run_at(api, tomorrow(api, "1:01"))
        await run_at(api, tomorrow(api, "6:00"))
        assert await states(api) == {"night": "stopped", "day": "ready"}
        assert len(await events(api, "schedule_done")) == 2


async def test_one_that_fails_says_why_and_the_others_go_on(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="one")
        await api.launched(smollm2, name="two")
        await add(api, "4:00", "stop", "one", "two")
        await api.post("/v1/launches/one/stop", forget=True)
        (row,) = await run_at(api, tomorrow(api, "4:00"))
        assert row["last"]["failed"]
        assert row["last"]["result"] == "one: no launch is called 'one'; two is stopped"
        assert await states(api) == {"two": "stopped"}
        assert len(await events(api, "schedule_failed")) == 1


@pytest.mark.parametrize("missed", list(Missed))
async def test_what_was_missed_while_no_daemon_ran_is_done_once_or_skipped(
    daemon: Running, smollm2: Path, missed: Missed
) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="toy")
        await add(api, "every hour", "stop", "toy", missed=missed.value)
    async with daemon() as api:
        await api.row("toy", lambda row: row["state"] == "ready")
        (row,) = await run_at(api, tomorrow(api, "12:20"))
        assert (await states(api))["toy"] == ("stopped" if missed is Missed.RUN else "ready")
        assert row["last"]["failed"] is (missed is Missed.SKIP)
        told = [*await events(api, "schedule_done"), *await events(api, "schedule_skipped")]
        assert len(told) == 1
        assert "missed at" in told[0]


async def test_weights_are_verified_and_room_is_made(daemon: Running) -> None:
    async with daemon() as api:
        await add(api, "4:00", "verify")
        await add(api, "4:00", "gc", free_bytes=0)
        verified, freed = await run_at(api, tomorrow(api, "4:00"))
        assert verified["last"]["result"] == "0 verified, none is damaged"
        assert freed["last"]["result"].startswith("no weights removed, 0 MiB")


async def test_a_removed_schedule_is_not_run_and_its_number_not_used_again(daemon: Running) -> None:
    async with daemon() as api:
        first = await add(api, "4:00", "verify")
        assert (await api.post(f"/v1/schedules/{first['id']}/remove")).json()["id"] == first["id"]
        assert (await api.post(f"/v1/schedules/{first['id']}/remove")).status_code == 422
        second = await add(api, "4:00", "verify")
    async with daemon() as api:
        (row,) = await run_at(api, tomorrow(api, "4:00"))
        assert row["id"] == second["id"] > first["id"]


async def test_a_clock_that_was_years_ahead_does_not_stop_schedules(daemon: Running) -> None:
    async with daemon() as api:
        await add(api, "every hour", "verify")
        await run_at(api, tomorrow(api, "12:00") + 2000 * DAY)
        await run_at(api, tomorrow(api, "12:30"))
        (row,) = await run_at(api, tomorrow(api, "13:00"))
        assert row["last"]["at"].startswith(tomorrow(api, "13:00").astimezone().strftime("%Y-%m"))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"action": "swap", "names": ["a"]}, "swap takes 2 names, not 1"),
        ({"action": "start"}, "start takes 1 to 20 names, not 0"),
        ({"action": "stop", "names": ["a", "a"]}, "names one twice"),
        ({"action": "start", "names": ["a"]}, "no launch is called 'a'"),
        ({"action": "verify", "names": ["a"]}, "a is not on this disk"),
        ({"action": "verify", "words": "1:00-2:00"}, "verify has no end"),
        ({"action": "downloads"}, "downloads need a begin and an end"),
        ({"action": "verify", "free_bytes": 1}, "--free is for gc"),
        ({"action": "verify", "words": "some day"}, "has no time of the day"),
    ],
)
async def test_what_could_never_be_done_is_refused(
    daemon: Running, body: dict[str, Any], problem: str
) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/schedules", **({"words": "4:00"} | body))
        assert answer.status_code in (404, 422)
        assert problem in answer.json()["error"]["message"]
        assert await api.get("/v1/schedules") == []
