"""What a running engine says of the model that it serves: its context, and what it takes."""

import asyncio
import json
from typing import Any

from daemon.gateway.engines import Engines
from daemon.gateway.errors import GatewayError
from daemon.gateway.served import Facts, planned_facts
from daemon.launches.launch import Engine, Launch
from domain.launches.launch import LaunchState
from domain.launches.plan import VLLM

WITHIN_S = 2.0  # a list of models is waited for; an engine that reads a long prompt still answers this


class EngineFacts:
    """An engine is asked once: what it says does not change while it runs."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._known: dict[str, tuple[Engine, Facts]] = {}

    async def of(self, launch: Launch) -> Facts:
        """Of the engine; as planned where it does not run, or does not say."""
        engine = launch.engine
        if launch.state is not LaunchState.READY or engine is None:
            return planned_facts(launch.plan)
        known = self._known.get(launch.name)
        if known is not None and known[0] is engine:
            return known[1]
        facts = await self._ask(launch)
        if facts is None:
            return planned_facts(launch.plan)
        self._known[launch.name] = (engine, facts)
        return facts

    async def _ask(self, launch: Launch) -> Facts | None:
        is_vllm = launch.plan is not None and launch.plan.engine == VLLM
        path = "/v1/models" if is_vllm else "/props"
        try:
            async with asyncio.timeout(WITHIN_S):
                answer = await self._engines.ask(launch, "GET", path)
                answer.close()
            told = json.loads(answer.first)
        except (GatewayError, TimeoutError, ValueError, RecursionError):
            return None
        planned = planned_facts(launch.plan)
        return _of_vllm(told, planned) if is_vllm else _of_llama_cpp(told, planned)


def _of_llama_cpp(told: Any, planned: Facts) -> Facts:
    """``/props`` of llama-server (b10068): ``n_ctx`` there is that of one slot, or of the pool that several
    share, of which each is planned to use its window."""
    told = told if isinstance(told, dict) else {}
    settings, modalities = told.get("default_generation_settings"), told.get("modalities")
    count = settings.get("n_ctx") if isinstance(settings, dict) else None
    modalities = modalities if isinstance(modalities, dict) else {}
    caps = told.get("chat_template_caps")
    tools = caps.get("supports_tools") if isinstance(caps, dict) else None
    window = _count(count, planned.context_tokens)
    return Facts(
        context_tokens=min(window, planned.context_tokens) if window and planned.context_tokens else window,
        vision=modalities.get("vision") is True,
        audio=modalities.get("audio") is True,
        tools=tools if isinstance(tools, bool) else None,
    )


def _of_vllm(told: Any, planned: Facts) -> Facts:
    rows = told.get("data") if isinstance(told, dict) else None
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    return Facts(_count(first.get("max_model_len"), planned.context_tokens), vision=planned.vision)


def _count(value: object, otherwise: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise
