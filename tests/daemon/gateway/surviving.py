"""Conversations with a real engine that is killed, stopped and restarted between turns and within them."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from config.settings import Settings
from daemon.app import real_adapters
from daemon.launches.launch import Launch
from tests.daemon.conftest import Api, Running, fork_server

CHAT = "/v1/chat/completions"
WORDS = ("harbour", "town", "north", "pier", "boat", "water", "gull", "sand", "stone", "rope", "tide", "lamp")
NAMES = ("one", "two", "three", "four")
TURNS = 6  # of a conversation, then a new one begins


@dataclass
class Talk:
    """A conversation: what was said, and how many turns there were."""

    messages: list[dict[str, str]]
    turns: int = 0

    @classmethod
    def begin(cls, dice: random.Random, words: int) -> "Talk":
        return cls([{"role": "system", "content": " ".join(dice.choices(WORDS, k=words))}])

    def ask(self, dice: random.Random) -> list[dict[str, str]]:
        self.messages.append({"role": "user", "content": " ".join(dice.choices(WORDS, k=12)) + "?"})
        self.turns += 1
        return self.messages

    def hear(self, text: str) -> None:
        self.messages.append({"role": "assistant", "content": text})


@dataclass
class Turn:
    reply: str
    cached: int
    prompt: int
    seconds: float


@dataclass
class Box:
    """A daemon, its engine, and who asks it."""

    running: Running
    settings: Settings
    model: Path
    options: dict[str, Any]
    undo: AsyncExitStack = field(default_factory=AsyncExitStack)
    api: Api | None = None

    async def start(self) -> None:
        api = await self.undo.enter_async_context(self.running(real_adapters(self.settings, fork_server())))
        if self.api is None:
            await api.launched(self.model, name="tiny", **self.options)
        self.api = api
        await self.ready()

    async def ready(self, but_not: int | None = None) -> None:
        assert self.api is not None
        row = await self.api.row("tiny", lambda row: row["state"] == "ready" and row["pid"] != but_not)
        self.base = row["gateway"]

    @property
    def launch(self) -> Launch:
        assert self.api is not None
        return self.api.app.launches["tiny"]

    async def copied(self) -> None:
        """Until what is to be copied is."""
        kept = self.launch.conversations
        assert kept is not None
        await asyncio.wait_for(kept.settled(), 30)

    async def kill(self) -> None:
        pid = self.launch.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await self.ready(but_not=pid)

    async def restart(self) -> None:
        pid = self.launch.pid
        assert self.api is not None
        await self.api.post("/v1/launches/tiny/restart")
        await self.ready(but_not=pid)

    async def stop_and_start(self) -> None:
        pid = self.launch.pid
        assert self.api is not None
        await self.api.post("/v1/launches/tiny/stop")
        await self.api.post("/v1/launches/tiny/start")
        await self.ready(but_not=pid)

    async def restart_daemon(self) -> None:
        await self.undo.aclose()
        await self.start()

    async def ask(self, messages: list[dict[str, str]], *, kills: bool = False) -> Turn:
        body = {
            "model": "tiny",
            "messages": messages,
            "temperature": 0,
            "max_tokens": 24,
            "ignore_eos": True,
            "logit_bias": [[" ", False], ["\n", False]],
        }
        async with httpx.AsyncClient(base_url=self.base, timeout=120, trust_env=False) as http:
            asking = asyncio.create_task(http.post(CHAT, json=body))
            if kills:
                slots = self.launch.conversations
                assert slots is not None
                while not any(slot.busy for slot in slots.slots) and not asking.done():  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.001)
                os.kill(self.launch.pid or 0, signal.SIGKILL)
            answer = (await asking).json()
        timings = answer["timings"]
        cached, read = timings["cache_n"], timings["prompt_n"]
        reply = answer["choices"][0]["message"]["content"]
        return Turn(reply, cached, cached + read, timings["prompt_ms"] / 1000)


async def talk(box: Box, disturbances: int, seed: int, *, disturbs: bool, words: int = 150) -> list[Turn]:
    """The turns of four conversations, the same for a ``seed``, with a disturbance before or within each."""
    dice, chaos = random.Random(seed), random.Random(seed + 1)  # noqa: S311 - no secrets
    talks = {name: Talk.begin(dice, words) for name in NAMES}
    turns: list[Turn] = []
    acts: list[Callable[[], Any]] = [box.kill, box.restart, box.stop_and_start, box.restart_daemon]
    for _ in range(disturbances):
        name = dice.choice(NAMES)
        if talks[name].turns >= TURNS:
            talks[name] = Talk.begin(dice, words)
        messages = talks[name].ask(dice)
        kills = False
        if disturbs:
            await box.copied()
            act = chaos.choice([*acts, None])
            kills = act is None
            if act is not None:
                await act()
        turn = await box.ask(messages, kills=kills)
        talks[name].hear(turn.reply)
        turns.append(turn)
    return turns
