"""Conversations in the slots of an engine, whose answers a test writes."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daemon.launches.conversations import files
from daemon.launches.conversations.copies import Copies, Counts, Keeps
from daemon.launches.conversations.keeping import Conversations, Useless
from daemon.launches.conversations.policy import Rates
from launchers.command import Command
from tests.daemon.gateway.conftest import Answerer, Rig

CHAT = "/v1/chat/completions"
LONG = "The harbour lies in the north. " * 40


class Slots:
    """Answers as llama-server does: each slot has the messages of its last request, saved and restored under
    a name. ``cached``: what it says of a request that goes on; ``refuses`` to save."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.acts: list[tuple[str, int, str]] = []
        self.files: dict[str, int] = {}
        self.makes_use = True
        self.refuses = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/slots":
            return web.json_response([{"id": 1, "id_task": 7}, {"id": 0, "id_task": 3}])
        asked = await request.json()
        if request.path.startswith("/slots/"):
            return self._act(int(request.path.rpartition("/")[2]), request.query["action"], asked["filename"])
        self.asked.append(asked)
        tokens = len(str(asked["messages"])) // 4
        cached = tokens - 10 if self.makes_use and len(asked["messages"]) > 2 else 0
        timings = {"cache_n": cached, "prompt_n": tokens - cached, "predicted_n": 5}
        message = {"role": "assistant", "content": "ok"}
        return web.json_response({"choices": [{"message": message}], "timings": timings})

    def _act(self, slot: int, action: str, file: str) -> web.Response:
        self.acts.append((action, slot, file))
        if action == "save" and self.refuses:
            error = {"message": "This feature is not supported by multimodal", "code": 501}
            return web.json_response({"error": error}, status=501)
        if action == "save":
            self.files[file] = slot
            return web.json_response({"n_saved": 300, "n_written": 3000})
        if file not in self.files:
            return web.json_response({"error": {"message": "Unable to restore slot"}}, status=400)
        return web.json_response({"n_restored": 300, "n_read": 3000})


async def keep(rig: Rig, answer: Answerer, slots: int = 2) -> Conversations:
    launch = await rig.serve("smol", answer)
    assert launch.engine is not None
    command = Command(("llama-server",), launch.engine.port, "smol")
    keeps = Keeps("smol", command, "build.rest", "key", slots, Rates(100.0, 1e9, 10.0))
    kept = launch.conversations = Conversations(rig.app, Copies(rig.app, keeps, Counts()))
    return kept


def said(name: str, *turns: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [
        {"role": "system", "content": f"{name} {LONG}"},
        *({"role": roles[index % 2], "content": words} for index, words in enumerate(turns)),
    ]


async def ask(rig: Rig, name: str, *turns: str) -> None:
    answer = await rig.post(CHAT, model="smol", messages=said(name, *turns))
    assert answer.status_code == 200, answer.text


async def test_a_conversation_goes_back_to_its_slot(gateway: Rig) -> None:
    engine = Slots()
    kept = await keep(gateway, engine.answer)
    await ask(gateway, "main", "a")
    await ask(gateway, "other", "a")
    await ask(gateway, "main", "a", "ok", "b")
    await ask(gateway, "other", "a", "ok", "b")
    assert [asked["id_slot"] for asked in engine.asked] == [0, 1, 0, 1]
    assert (kept.counts.requests, kept.counts.continued) == (4, 2)
    assert not any(slot.busy for slot in kept.slots)


async def test_a_request_is_changed_in_nothing_but_its_slot(gateway: Rig) -> None:
    got: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        got.append(await request.read())
        return web.json_response({})

    await keep(gateway, answer)
    body = b' { "messages" : [ {"content":"\\u00e9","role":"user"} ],  "model":"smol", "seed": 1.0 }'
    await gateway.http.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert got == [b'{"id_slot":0,' + body.lstrip()[1:]]
    own = b'{"model": "smol", "id_slot": 1, "messages": [{"role": "user", "content": "a"}]}'
    await gateway.http.post(CHAT, content=own, headers={"content-type": "application/json"})
    assert got[1:] == [own]


async def test_a_conversation_that_gives_way_is_saved_and_taken_back(gateway: Rig) -> None:
    engine = Slots()
    kept = await keep(gateway, engine.answer, slots=1)
    await ask(gateway, "main", "a")
    await ask(gateway, "title", "a")
    await ask(gateway, "main", "a", "ok", "b")
    [saved, second, restored] = engine.acts
    assert (saved[0], second[0], restored) == ("save", "save", ("restore", 0, saved[2]))
    assert kept.kept().on_disk == 2
    assert kept.counts.restored == 1
    stored = await gateway.app.store.run(gateway.app.store.conversations.all)
    assert {copy.file for copy in stored} == {saved[2], second[2]}


async def test_what_is_saved_has_its_bounds(gateway: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    object.__setattr__(gateway.app.settings, "conversation_cache_gb", 7e-6)  # two of them
    engine = Slots()
    await keep(gateway, engine.answer, slots=1)
    for name in ("one", "two", "three", "four"):
        await ask(gateway, name, "a")
    stored = await gateway.app.store.run(gateway.app.store.conversations.all)
    assert sum(copy.size_bytes for copy in stored) <= 7000
    assert len(stored) == 2


async def test_copies_go_with_the_weights_of_their_model(gateway: Rig, tmp_path: Path) -> None:
    await keep(gateway, Slots().answer, slots=1)
    await ask(gateway, "main", "a")
    await ask(gateway, "title", "a")
    [copy] = await gateway.app.store.run(gateway.app.store.conversations.all)
    path = (await asyncio.to_thread(files.make_folder, gateway.app, "smol")) / copy.file
    await asyncio.to_thread(path.write_bytes, b"state")
    launch = gateway.app.launches["smol"]
    assert launch.plan is not None
    launch.plan = replace(launch.plan, weights=replace(launch.plan.weights, location=str(tmp_path)))
    weights = Path(launch.plan.weights.first_path or "")
    await asyncio.to_thread(weights.touch)
    await files.remove_orphans(gateway.app)
    assert await asyncio.to_thread(path.exists)
    await asyncio.to_thread(weights.unlink)
    await files.remove_orphans(gateway.app)
    assert not await asyncio.to_thread(path.exists)
    assert not await gateway.app.store.run(gateway.app.store.conversations.all)


async def test_a_file_that_is_gone_costs_nothing_but_itself(gateway: Rig) -> None:
    engine = Slots()
    kept = await keep(gateway, engine.answer, slots=1)
    await ask(gateway, "main", "a")
    await ask(gateway, "title", "a")
    engine.files.clear()
    await ask(gateway, "main", "a", "ok", "b")
    assert kept.counts.restored == 0
    assert kept.saves


async def test_an_engine_that_makes_nothing_of_it_is_found_out_and_told(gateway: Rig) -> None:
    engine = Slots()
    engine.makes_use = False
    kept = await keep(gateway, engine.answer, slots=1)
    await ask(gateway, "main", "a")
    await ask(gateway, "title", "a")
    await ask(gateway, "main", "a", "ok", "b")
    assert kept.saves
    await ask(gateway, "title", "a", "ok", "b")
    assert not kept.saves
    for task in list(kept._running):
        await task
    assert await gateway.app.store.recall(Useless, "key") == Useless(2)
    assert not await gateway.app.store.run(gateway.app.store.conversations.all)
    events = await gateway.app.store.run(gateway.app.store.events.since, 0, 100)
    [lost] = [event for event in events if event.kind == "conversations_lost"]
    assert "made nothing" in lost.message


async def test_an_engine_that_can_t_save_is_asked_once(gateway: Rig) -> None:
    engine = Slots()
    engine.refuses = True
    kept = await keep(gateway, engine.answer, slots=1)
    for name in ("one", "two", "three"):
        await ask(gateway, name, "a")
    assert len(engine.acts) == 1
    assert not kept.saves
    assert await gateway.app.store.recall(Useless, "key") is not None


async def test_of_anthropic_s_requests_the_engine_says_which_slot_they_had(gateway: Rig) -> None:
    engine = Slots()
    kept = await keep(gateway, engine.answer)
    asked = {"model": "smol", "max_tokens": 5, "messages": said("main", "a")[1:], "system": LONG}
    assert (await gateway.post("/v1/messages", **asked)).status_code == 200
    for task in list(kept._running):
        await task
    assert "id_slot" not in engine.asked[0]
    assert [bool(slot.chain) for slot in kept.slots] == [False, True]


async def test_moving_parts_are_removed_unless_the_owner_keeps_them(gateway: Rig) -> None:
    engine = Slots()
    await keep(gateway, engine.answer)
    header = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch=36ee5;"
    system = [{"type": "text", "text": header}, {"type": "text", "text": "You are."}]
    asked = {"model": "smol", "max_tokens": 5, "messages": said("main", "a")[1:], "system": system}
    await gateway.post("/v1/messages", **asked)
    assert engine.asked[-1]["system"] == system[1:]
    gateway.gateway.engines._normalises = False
    await gateway.post("/v1/messages", **asked)
    assert engine.asked[-1]["system"] == system


async def test_a_health_check_takes_the_slot_that_loses_least(gateway: Rig) -> None:
    engine = Slots()
    kept = await keep(gateway, engine.answer)
    await ask(gateway, "main", "a")
    assert await kept.take_for_question() == 1
    await ask(gateway, "other", "a")
    assert await kept.take_for_question() == 0
    assert engine.acts[-1][:2] == ("save", 0)
    await kept.take_all()
    assert not any(slot.chain for slot in kept.slots)
