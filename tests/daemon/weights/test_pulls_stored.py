"""Pulls in the store: each by itself, taken up by the next daemon with the same files."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.app import Adapters
from daemon.state.records import PullRecord, PullRequest, Work, WorkKey, WorkKind
from daemon.state.store import Store
from domain.errors import StateError
from domain.launches.plan import LaunchOptions
from domain.units import MIB
from tests.daemon.conftest import Api, Running
from tests.daemon.weights.pulling import CRAWLING, NAME, closed_window, ended, kinds, moving, pulled, some
from tests.rigs.hub import Hub


async def test_the_next_daemon_goes_on_where_the_last_one_stopped(daemon: Running, hub: Hub) -> None:
    hub.faults.hold_after_bytes = [MIB]
    async with daemon() as api:
        await pulled(api)
        await moving(api)
    async with daemon() as api:
        assert (await ended(api, 1))["step"] == "done"
        assert hub.gets("/cdn/")[-1].headers["Range"].startswith("bytes=")
        assert await api.app.store.run(api.app.store.pulls.all) == ()


async def test_the_next_daemon_goes_on_with_the_same_files_and_asks_no_hub_for_them(
    daemon: Running, hub: Hub
) -> None:
    """What the hub lists meanwhile, or this machine has free, would come to others."""
    hub.faults.hold_after_bytes = [MIB]
    async with daemon() as api:
        number = await pulled(api)
        await moving(api)
        name = (await api.get("/v1/pulls"))[0]["name"]
    listings = len(hub.gets("/api/models"))
    hub.add("o/toy-GGUF", {"toy-Q8_0.gguf": b"GGUF of another kind", **hub.repos["o/toy-GGUF"]})
    async with daemon() as api:
        assert (await api.get("/v1/pulls"))[0]["name"] == name
        assert (await ended(api, number))["step"] == "done"
    assert len(hub.gets("/api/models")) == listings


async def test_two_quants_of_a_model_are_two_pulls_and_the_end_of_one_forgets_no_other(
    daemon: Running, hub: Hub, smollm2: Path
) -> None:
    data = await asyncio.to_thread(smollm2.read_bytes)
    hub.add("o/two-GGUF", {"two-Q4_1.gguf": data, "two-Q4_0.gguf": data + b"other"})
    async with daemon() as api:
        waits = await api.post("/v1/pulls", model="o/two-GGUF", quality="Q4_1", window=closed_window())
        comes = await api.post("/v1/pulls", model="o/two-GGUF", quality="Q4_0", limit="1GB/s")
        last = await ended(api, comes.json()["id"])
        assert last["step"] == "done", last
        await some(api, lambda last: last["waiting"])
    async with daemon() as api:
        (row,) = await api.get("/v1/pulls")
        assert (row["id"], row["name"]) == (waits.json()["id"], "o/two-GGUF:Q4_1")


async def test_who_cancels_one_of_two_requests_for_the_same_files_keeps_the_other(
    daemon: Running, hub: Hub
) -> None:
    async with daemon() as api:
        first, other = await pulled(api, limit=CRAWLING), await pulled(api, limit="2MB/s")
        await moving(api)
        await api.post(f"/v1/pulls/{first}/cancel")
    async with daemon() as api:
        assert [row["id"] for row in await api.get("/v1/pulls")] == [other]


async def test_a_pull_that_two_daemons_died_of_has_failed_and_others_go_on(
    settings: Settings, daemon: Running, adapters: Adapters, hub: Hub
) -> None:
    hub.add("o/other-GGUF", hub.repos["o/toy-GGUF"])
    settings.state_dir.mkdir(parents=True)
    work = Work(WorkKey(WorkKind.PULL, "1"), f"choosing the files of {NAME}", adapters.boot_id(), deaths=1)

    def store_pulls() -> None:
        with closing(Store(settings.state_dir / "state.db")) as store:
            for number, model in ((1, NAME), (2, "o/other-GGUF:Q8_0")):
                store.pulls.save(PullRecord(number, PullRequest(model, LaunchOptions())))
            store.in_flight.begin(work.key, work.doing, work.boot_id)
            store.in_flight.update([work])

    await asyncio.to_thread(store_pulls)
    async with daemon() as api:
        last = await ended(api, 1)
        assert last["message"] == f"quarantined: the daemon died twice while it was {work.doing}"
        assert "node-ctl pull" in last["hint"]
        assert (await ended(api, 2))["step"] == "done"
        assert "quarantined" in await kinds(api)
        assert await api.app.store.run(api.app.store.pulls.all) == ()
        assert (await ended(api, await pulled(api)))["step"] == "done", "asked for again, it is tried again"


async def test_a_download_whose_process_runs_is_not_what_a_daemon_dies_of(api: Api) -> None:
    number = await pulled(api, limit=CRAWLING)
    await moving(api)
    (work,) = await api.app.store.run(api.app.store.in_flight.all)
    assert (work.key.name, work.running) == (str(number), False)
    await api.post(f"/v1/pulls/{number}/cancel")
    assert await api.app.store.run(api.app.store.in_flight.all) == ()


async def test_a_pull_that_can_not_be_stored_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(api.app.store.pulls, "save", full)
    refused = await api.post("/v1/pulls", model=NAME)
    assert (refused.status_code, refused.json()["error"]["code"]) == (500, "state_failed")
    last = await ended(api, 1)
    assert (last["step"], last["code"]) == ("failed", "state_failed")


async def test_a_pull_that_can_not_be_forgotten_is_stopped_and_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StateError("the disk is full")

    number = await pulled(api, limit=CRAWLING)
    await moving(api)
    monkeypatch.setattr(api.app.store.pulls, "forget", full)
    refused = await api.post(f"/v1/pulls/{number}/cancel")
    assert refused.json()["error"]["code"] == "state_failed"
    assert (await ended(api, number))["step"] == "stopped"
