"""What is in use is never removed: not by rm, not by gc, and not for the leftovers of another process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from catalog.local import delete
from daemon.launches.launch import Launch
from daemon.state.records import PullRequest
from daemon.weights.transfers import Pull
from domain.launches.launch import Step
from domain.launches.plan import LaunchOptions
from domain.models.model import Source, WeightFile, Weights
from tests.daemon.conftest import Api
from tests.daemon.weights.pulling import CRAWLING, NAME, closed_window, ended, moving, pulled, some
from tests.rigs.hub import Hub


def weights_of(hub: Hub) -> Weights:
    """As they are planned: where they will lie is known, that they are there is not."""
    name, data = next(iter(hub.repos["o/toy-GGUF"].items()))
    return Weights(
        Source.HUB, "o/toy-GGUF", hub.commit("o/toy-GGUF"), (WeightFile(name, len(data)),), "Q8_0", 0
    )


async def gc(api: Api) -> dict[str, Any]:
    return dict((await api.post("/v1/models/gc", free_bytes=2**60)).json())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """As by another process that downloads: flock(2) is of an open file, not of a process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


async def test_weights_of_a_launch_stay_from_its_plan_on(api: Api, hub: Hub) -> None:
    """Downloaded, and not served yet: its threads are measured, say."""
    await ended(api, await pulled(api))
    plan = SimpleNamespace(weights=weights_of(hub))
    launch = SimpleNamespace(name="toy", plan=plan, is_at_rest=False)
    api.app.launches["toy"] = cast("Launch", launch)
    try:
        refused = await api.post("/v1/models/remove", model=NAME)
        assert refused.json()["error"]["message"] == f"{NAME} is in use by toy"
        assert (await gc(api))["models"] == []
        launch.is_at_rest = True
        assert (await gc(api))["models"] == [NAME]
    finally:
        del api.app.launches["toy"]


async def test_weights_of_a_download_stay_until_it_is_over(api: Api, hub: Hub) -> None:
    await ended(api, await pulled(api))
    pull = Pull(7, PullRequest(NAME, LaunchOptions()), weights_of(hub))
    api.app.pulls[7] = pull
    refused = await api.post("/v1/models/remove", model=NAME)
    assert refused.json()["error"]["message"] == f"{NAME} is being downloaded"
    assert (await gc(api))["models"] == []
    pull.progress.say(Step.DONE, "it is here")
    assert (await gc(api))["models"] == [NAME]


async def test_parts_of_a_pull_that_waits_are_no_leftovers(api: Api) -> None:
    number = await pulled(api, limit=CRAWLING)
    await moving(api)
    await api.post(f"/v1/pulls/{number}/cancel")
    waits = await pulled(api, window=closed_window())
    await some(api, lambda last: last["waiting"])
    assert (await gc(api))["leftovers"] == 0
    await api.post(f"/v1/pulls/{waits}/cancel")
    assert (await gc(api))["leftovers"] == 2, "the part and its notes"


async def test_parts_that_another_process_writes_to_are_no_leftovers(api: Api) -> None:
    number = await pulled(api, limit=CRAWLING)
    await moving(api)
    await api.post(f"/v1/pulls/{number}/cancel")
    (lock,) = api.app.settings.models_dir.glob(".locks/*/*.lock")
    with locked(lock):
        assert (await gc(api))["leftovers"] == 0
    assert (await gc(api))["leftovers"] == 2


async def test_a_part_that_is_finished_during_a_gc_is_passed_over(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "leftovers", lambda *_: (tmp_path / "gone.incomplete",))
    assert (await gc(api))["freed_bytes"] == 0


async def test_a_blob_that_another_process_has_not_linked_yet_outlives_the_removal_of_a_neighbour(
    api: Api,
) -> None:
    await ended(api, await pulled(api))
    repo = api.app.settings.models_dir / "models--o--toy-GGUF"
    blob = repo / "blobs" / ("0" * 64)
    blob.write_bytes(b"complete")
    with locked(api.app.settings.models_dir / ".locks" / repo.name / f"{blob.name}.lock"):
        assert (await api.post("/v1/models/remove", model=NAME)).status_code == 200
        assert blob.exists()
