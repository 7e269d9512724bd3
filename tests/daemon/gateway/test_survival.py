"""Conversations that survive real engines, and prompts that keep their prefix."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.settings import Settings
from daemon.launches.conversations import keeping, opening, policy
from tests.daemon.conftest import Running
from tests.daemon.gateway.surviving import Box, talk
from tests.rigs import tiny_models

DISTURBANCES = int(os.environ.get("CONVERSATION_DISTURBANCES", "4"))
LONG = "The harbour lies in the north. " * 120
HEADER = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch={:05x};"


def agent_turns(count: int) -> list[dict[str, Any]]:
    """What a coding agent sends in the shape of Claude Code, in our own words: a task, then results of tools,
    each with an attribution that changes, and with what is left of its tokens."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Mend the harbour's timetable."}]
    turns = []
    for turn in range(count):
        header = {"type": "text", "text": HEADER.format(turn * 7919)}
        rules = {"type": "text", "text": "You are a careful agent. " + LONG}
        system = [header, {**rules, "cache_control": {"type": "ephemeral"}}]
        left = {"role": "system", "content": f"<total_tokens>{15_000_000 - turn} tokens left</total_tokens>"}
        turns.append({"system": system, "messages": [*messages, left]})
        result = f"pier {turn}: " + "boats leave at noon. " * 3
        messages += [
            {"role": "assistant", "content": f"I read file {turn}."},
            {"role": "user", "content": [{"type": "text", "text": result}]},
        ]
    return turns


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2])
async def test_a_coding_agent_keeps_its_prefix(
    daemon: Running, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    """Between its turns a title is asked for: with one slot, that takes the agent's."""
    monkeypatch.setattr(policy, "WRITE_SHARE", 1e9)
    object.__setattr__(settings, "listen", "127.0.0.1:0")
    model = tiny_models.dense(tmp_path / "tiny.gguf")
    box = Box(daemon, settings, model, {"context_tokens": 8192, "parallel": slots})
    title = {"system": "Name it.", "messages": [{"role": "user", "content": "A timetable?"}]}
    hits, read = 0, 0
    async with box.undo:
        await box.start()
        async with httpx.AsyncClient(base_url=box.base, timeout=120, trust_env=False) as http:
            for number, turn in enumerate(agent_turns(8)):
                asked = {"model": "tiny", "max_tokens": 4, "temperature": 0, **turn}
                usage = (await http.post("/v1/messages", json=asked)).json()["usage"]
                if number:
                    hits += usage["cache_read_input_tokens"]
                    read += usage["input_tokens"]
                await http.post("/v1/messages", json={**asked, **title})
    assert hits / (hits + read) >= 0.95


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(200 + 15 * DISTURBANCES)
@pytest.mark.parametrize("make", [tiny_models.dense, tiny_models.sliding, tiny_models.hybrid])
async def test_replies_are_those_of_an_undisturbed_run(
    make: Callable[[Path], Path],
    daemon: Running,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``CONVERSATION_DISTURBANCES=200`` is the whole of it."""
    monkeypatch.setattr(keeping, "QUIET_S", 0.0)
    monkeypatch.setattr(policy, "WRITE_SHARE", 1e9)
    object.__setattr__(settings, "listen", "127.0.0.1:0")
    object.__setattr__(settings, "restart_stable_s", 0.0)  # so many kills are no loop
    model = make(tmp_path / "tiny.gguf")
    box = Box(daemon, settings, model, {"context_tokens": 4096, "parallel": 2})
    async with box.undo:
        await box.start()
        calm = await talk(box, DISTURBANCES, 1, disturbs=False)
        await box.restart()
        kept = await talk(box, DISTURBANCES, 1, disturbs=True)
        assert opening.SAVES in (box.launch.plan.argv if box.launch.plan else ())
    assert [turn.reply for turn in kept] == [turn.reply for turn in calm]
    folder = settings.state_dir / "scratch" / "tiny" / "home" / "conversations"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) <= policy.MAX_COPIES
    if make is tiny_models.dense:
        assert sum(turn.cached for turn in kept) >= 0.9 * sum(turn.cached for turn in calm) > 0
