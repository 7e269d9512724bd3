"""A damaged row costs that row, a damaged file what came after its copy: no command of node-ctl fails for it,
and the daemon starts."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from config.settings import Settings
from tests.daemon.conftest import Api, Running

QUESTIONS = ("/v1/status", "/v1/probe?refresh=true", "/v1/launches", "/v1/doctor", "/v1/models", "/v1/pulls")


def damage(path: Path, value: str) -> int:
    """Every JSON text of every table; how many rows there were."""
    columns = (("facts", "value"), ("launches", "plan"), ("launches", "ready"), ("pulls", "request"))
    with sqlite3.connect(path) as db:
        updates = [f"UPDATE {table} SET {column} = ?" for table, column in columns]  # noqa: S608 - ours
        changed = sum(db.execute(update, (value,)).rowcount for update in updates)
    db.close()
    return changed


async def ask_everything(api: Api, model: Path) -> None:
    for question in QUESTIONS:
        answer = await api.http.get(question)
        assert answer.status_code == 200, (question, answer.text)
    planned = await api.post("/v1/plan", model=str(model))
    assert planned.status_code == 200, planned.text


@pytest.mark.parametrize("value", ["{", "[]", '"text"', "null", '{"ended": {}, "key": 7, "rate": []}', "7"])
async def test_damaged_values_are_made_anew(
    settings: Settings, daemon: Running, smollm2: Path, value: str
) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        await api.http.get("/v1/probe?refresh=true")
    changed = await asyncio.to_thread(damage, settings.state_dir / "state.db", value)
    assert changed >= 4
    async with daemon() as api:
        await api.row("tiny", lambda row: row["state"] == "ready")
        await ask_everything(api, smollm2)


async def test_a_launch_that_can_not_be_read_keeps_no_other_from_being_served(
    settings: Settings, daemon: Running, smollm2: Path
) -> None:
    async with daemon() as api:
        for name in ("lost", "served"):
            await api.launched(smollm2, name=name)

    def break_one() -> None:
        with sqlite3.connect(settings.state_dir / "state.db") as db:
            db.execute("UPDATE launches SET request = '[]', state = 'unheard of' WHERE name = 'lost'")
        db.close()
        shutil.rmtree(settings.state_dir / "copies")  # else it is taken from there

    await asyncio.to_thread(break_one)
    async with daemon() as api:
        await api.row("served", lambda row: row["state"] == "ready")
        await ask_everything(api, smollm2)
        events = (await api.http.get("/v1/events")).text
        assert "lost: its record in the state can't be read" in events
        assert (await api.launched(smollm2, name="lost"))["state"] == "ready"


async def test_a_damaged_file_is_replaced_by_its_copy_and_that_is_told(
    settings: Settings, daemon: Running, smollm2: Path
) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        await api.launched(smollm2, name="other")
        assert (await api.post("/v1/launches/other/stop")).status_code == 200
    await asyncio.to_thread((settings.state_dir / "state.db").write_bytes, bytes(100_000))
    async with daemon() as api:
        await api.row("tiny", lambda row: row["state"] == "ready")
        await api.row("other", lambda row: row["state"] == "stopped")
        assert '"kind": "state_recovered"' in (await api.http.get("/v1/events")).text
        problems = [problem["what"] for problem in (await api.get("/v1/status"))["problems"]]
        assert any("the state was damaged (file is not a database), kept as" in what for what in problems)
        (finding,) = await api.get("/v1/doctor?check=state")
        assert finding["status"] == "warning"
        assert "taken from the copy of" in finding["found"]
    assert await asyncio.to_thread(lambda: list(settings.state_dir.glob("state.db.damaged-*")))
