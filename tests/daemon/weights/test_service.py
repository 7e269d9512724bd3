"""The weights on this disk over the API: pinned, removed, made room for, verified, adopted."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from domain.errors import StateError
from tests.catalog.build import gguf_file
from tests.daemon.conftest import Api, Running
from tests.rigs.hub import sha256

SMALL, LARGE = "o/toy-GGUF:Q4_0", "o/toy-GGUF:Q8_0"


def keep(models_dir: Path, repo: str, name: str, made: Path) -> Path:
    """As a download leaves it: its blob."""
    folder = models_dir / f"models--{repo.replace('/', '--')}"
    blob = folder / "blobs" / sha256(made.read_bytes())
    link = folder / "snapshots" / ("0" * 40) / name
    blob.parent.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    made.rename(blob)
    link.symlink_to(f"../../blobs/{blob.name}")
    return blob


@pytest.fixture
def blobs(settings: Settings, tmp_path: Path) -> dict[str, Path]:
    small = gguf_file(tmp_path / "a.gguf", tokens=100)
    large = gguf_file(tmp_path / "b.gguf", tokens=9000)
    return {
        SMALL: keep(settings.models_dir, "o/toy-GGUF", "toy-Q4_0.gguf", small),
        LARGE: keep(settings.models_dir, "o/toy-GGUF", "toy-Q8_0.gguf", large),
    }


@pytest.fixture
async def api(daemon: Running, blobs: dict[str, Path]) -> AsyncIterator[Api]:
    async with daemon() as running:
        yield running


async def listed(api: Api) -> dict[str, dict[str, Any]]:
    return {row["model"]: row for row in await api.get("/v1/models")}


async def checked(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api.http.get(f"/v1/models/verify{query}")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_pin_holds_against_rm_and_gc(api: Api) -> None:
    (row,) = (await api.post("/v1/models/pin", model=SMALL)).json()
    assert (row["model"], row["pinned"]) == (SMALL, True)
    refused = await api.post("/v1/models/remove", model=SMALL)
    assert (refused.status_code, refused.json()["error"]["code"]) == (423, "busy")
    done = (await api.post("/v1/models/gc", free_bytes=2**60)).json()
    assert done["models"] == [LARGE]
    assert done["short_bytes"] > 0
    assert set(await listed(api)) == {SMALL}
    await api.post("/v1/models/pin", model=SMALL, pinned=False)
    assert (await api.post("/v1/models/remove", model=SMALL)).json()["models"] == [SMALL]


async def test_an_alias_is_pinned_verified_and_removed_as_its_repository_is(
    api: Api, settings: Settings
) -> None:
    folders = [settings.models_dir / f"models--{name}" for name in ("o--toy-GGUF", "unsloth--Qwen3-8B-GGUF")]
    await asyncio.to_thread(folders[0].rename, folders[1])
    here = ["unsloth/Qwen3-8B-GGUF:Q4_0", "unsloth/Qwen3-8B-GGUF:Q8_0"]
    pinned = (await api.post("/v1/models/pin", model="qwen3-8b:Q4_0")).json()
    assert [row["model"] for row in pinned] == here[:1]
    await api.post("/v1/models/pin", model="qwen3-8b", pinned=False)
    assert {step["model"] for step in await checked(api, "?model=qwen3-8b")} == set(here)
    assert (await api.post("/v1/models/remove", model="qwen3-8b")).json()["models"] == here


async def test_a_repository_of_which_one_quant_may_not_go_stays_whole(api: Api) -> None:
    await api.post("/v1/models/pin", model=SMALL)
    assert (await api.post("/v1/models/remove", model="o/toy-gguf")).status_code == 423
    assert set(await listed(api)) == {SMALL, LARGE}


async def test_a_dry_run_removes_nothing(api: Api, blobs: dict[str, Path]) -> None:
    left = blobs[SMALL].with_suffix(".incomplete")
    await asyncio.to_thread(left.write_bytes, b"half")
    told = (await api.post("/v1/models/gc", free_bytes=2**60, dry_run=True)).json()
    assert (sorted(told["models"]), told["leftovers"], told["dry_run"]) == ([SMALL, LARGE], 1, True)
    assert set(await listed(api)) == {SMALL, LARGE}
    done = (await api.post("/v1/models/gc", free_bytes=0)).json()
    assert (done["models"], done["leftovers"], done["freed_bytes"]) == ([], 1, 4)


async def test_damage_is_told_set_aside_and_remembered(api: Api, blobs: dict[str, Path]) -> None:
    sound = await checked(api)
    assert [(step["model"], step["known"], step["damaged"]) for step in sound] == [
        (SMALL, True, None),
        (LARGE, True, None),
    ]
    assert all(row["verified_at"] for row in (await listed(api)).values())
    await asyncio.to_thread(blobs[SMALL].write_bytes, b"GGUF, and nothing more")
    (step,) = await checked(api, f"?model={SMALL}")
    assert "has the sha256" in step["damaged"]
    assert set(await listed(api)) == {LARGE}
    assert await asyncio.to_thread(blobs[SMALL].with_name(f"{blobs[SMALL].name}.damaged").exists)
    events = [json.loads(line)["kind"] for line in (await api.http.get("/v1/events")).text.splitlines()]
    assert events == ["weights_damaged"]


async def test_a_name_that_nothing_has_is_told_before_anything_is_read(api: Api) -> None:
    for path in ("pin", "remove"):
        answer = await api.post(f"/v1/models/{path}", model="o/none")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_model")
    answer = await api.http.get("/v1/models/verify?model=o/none")
    assert answer.status_code == 404
    assert "o/none is not on this disk" in answer.text


async def test_lm_studios_files_are_adopted_and_their_folder_named(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / "studio" / "pub" / "small"
    await asyncio.to_thread(folder.mkdir, parents=True)
    await asyncio.to_thread(gguf_file, folder / "small-Q5_0.gguf")
    (row,) = (await api.post("/v1/models/adopt", folder=str(tmp_path / "studio"))).json()
    assert (row["model"], row["linked"]) == ("pub/small:Q5_0", True)
    nothing = await api.post("/v1/models/adopt", folder=str(tmp_path / "empty"))
    assert "no GGUF files of Ollama or LM Studio" in nothing.json()["error"]["message"]
    done = (await api.post("/v1/models/gc", free_bytes=2**60)).json()
    assert "pub/small:Q5_0" not in done["models"], "its bytes are not ours to free"


async def test_a_use_that_can_not_be_noted_keeps_no_model_from_being_served(
    api: Api, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(api.app.store.models, "update", full)
    assert (await api.launched(smollm2, name="tiny"))["state"] == "ready"
