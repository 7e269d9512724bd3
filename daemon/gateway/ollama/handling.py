"""What Ollama's handlers share: the name in a request, lines of JSON, and an error as its clients read it."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.headers import WITHIN_S
from daemon.gateway.listener.exchange import Exchange
from daemon.gateway.ollama.models import ServedModel
from daemon.launches.demand.use import stops_in_s
from daemon.launches.launch import Launch

NDJSON = b"application/x-ndjson"


def name_of(asked: Mapping[str, Any]) -> str:
    """``name`` is what ``model`` was called before. Raises: GatewayError."""
    name = asked.get("model") or asked.get("name")
    if not isinstance(name, str):
        raise GatewayError(Reason.INVALID, "model is required")
    return name


def line(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def error(refusal: GatewayError) -> dict[str, Any]:
    return {"error": str(refusal)}


def stream_error(refusal: GatewayError) -> bytes:
    return line(error(refusal))


async def describe(exchange: Exchange, launch: Launch, *, within_s: float | None = WITHIN_S) -> ServedModel:
    gateway = exchange.gateway
    header = await gateway.headers.of(launch, within_s=within_s)
    usual_s, now_s = gateway.app.settings.on_demand_idle_s, asyncio.get_running_loop().time()
    left_s = stops_in_s(launch.serving, launch.use, now_s, usual_s)
    stops_at = None if left_s is None else (datetime.now(UTC) + timedelta(seconds=left_s)).isoformat()
    return ServedModel(launch, await gateway.facts.of(launch), header, stops_at)
