"""What another daemon holds in the same folder stays as it is: its lease is locked by this test."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.local import layout
from catalog.local.leases import FOLDER, Leases
from daemon.weights import leases
from domain.errors import BusyError
from domain.models.model import Source, WeightFile, Weights
from tests.daemon.conftest import Api
from tests.daemon.weights.pulling import NAME, ended, pulled


async def hold(api: Api, path: Path) -> Leases:
    own = api.app.leases.own
    holder = replace(own, pid=4242, user="ada", state_dir="/home/ada/state", socket="/run/ada")
    other = Leases(api.app.settings.models_dir, holder, is_alive=lambda *_: True)
    await asyncio.to_thread(other.hold, [path])
    return other


async def blob(api: Api) -> Path:
    await ended(api, await pulled(api))
    (found,) = api.app.settings.models_dir.glob("models--*/blobs/*")
    return found


async def test_rm_names_the_holder_and_what_to_do(api: Api) -> None:
    other = await hold(api, await blob(api))
    refused = await api.post("/v1/models/remove", model=NAME)
    assert refused.status_code == 423
    assert refused.json()["error"]["message"] == (
        f"{NAME} is in use by the node-daemon of ada, pid 4242, state in /home/ada/state"
    )
    assert refused.json()["error"]["hint"] == "stop it there first: node-ctl --socket /run/ada ps"
    assert (await api.post("/v1/models/gc", free_bytes=2**60)).json()["models"] == []
    await asyncio.to_thread(other.release)
    assert (await api.post("/v1/models/remove", model=NAME)).json()["models"] == [NAME]


async def test_a_lease_that_can_not_be_read_forbids_all_and_is_named(api: Api) -> None:
    await blob(api)
    lease = api.app.settings.models_dir / FOLDER / "odd.lease"
    await asyncio.to_thread(lease.parent.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(lease.write_text, "{")
    refused = await api.post("/v1/models/remove", model=NAME)
    assert refused.status_code == 423
    assert f"the lease {lease} of another node-daemon can't be read" in refused.json()["error"]["message"]
    assert (await api.post("/v1/models/gc", free_bytes=2**60)).json()["models"] == []


async def test_a_damaged_file_is_not_set_aside_where_another_serves_it(api: Api) -> None:
    path = await blob(api)
    await asyncio.to_thread(path.write_bytes, bytes(path.stat().st_size))
    other = await hold(api, path)
    assert "instead of" in (await api.http.get("/v1/models/verify")).text
    assert path.exists()
    await asyncio.to_thread(other.release)
    await api.http.get("/v1/models/verify")
    assert not path.exists()


async def test_a_download_of_another_size_replaces_nothing_that_another_uses(api: Api) -> None:
    """A file behind a URL that is another one by now."""
    file = WeightFile("m-Q8_0.gguf", 10)
    weights = Weights(Source.URL, "http://127.0.0.1/m-Q8_0.gguf", None, (file,), "Q8_0", 10)
    path = layout.folder_of(weights, api.app.settings.models_dir) / file.name
    await asyncio.to_thread(path.parent.mkdir, parents=True)
    await asyncio.to_thread(path.write_bytes, b"five!")
    other = await hold(api, path)
    with pytest.raises(BusyError, match=r"m-Q8_0.gguf is in use by the node-daemon of ada"):
        await leases.check_replaceable(api.app, weights)
    await asyncio.to_thread(other.release)
    await leases.check_replaceable(api.app, weights)
