"""``/api/tags``, ``/api/ps``, ``/api/show``, ``/api/version``, and what this daemon does in another way."""

import asyncio
from collections.abc import Callable
from typing import Any

from daemon.gateway.dialects.dialect import Handler
from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.listener.exchange import Exchange
from daemon.gateway.ollama import models
from daemon.gateway.ollama.handling import describe, name_of
from daemon.gateway.ollama.models import ServedModel
from daemon.gateway.served import find_launch, served_launches
from daemon.launches.launch import Launch
from domain.launches.launch import LaunchState

# The release of Ollama whose API is answered here. VS Code reads three numbers and wants at least 0.6.4;
# clients ask for thinking from 0.9, for its levels from 0.11.
VERSION = "0.12.0"


async def version(exchange: Exchange) -> None:
    await exchange.send_json({"version": VERSION})


async def hello(exchange: Exchange) -> None:
    """What Ollama's clients take as a sign of life, and people see in a browser."""
    content = b"Ollama is running"
    await exchange.send_bytes(content, status=200, headers=[(b"content-type", b"text/plain; charset=utf-8")])


async def tags(exchange: Exchange) -> None:
    await _send(exchange, served_launches(exchange.gateway.app, exchange.key), models.tag)


async def ps(exchange: Exchange) -> None:
    launches = served_launches(exchange.gateway.app, exchange.key)
    ready = [launch for launch in launches if launch.state is LaunchState.READY]
    await _send(exchange, ready, models.running)


async def show(exchange: Exchange) -> None:
    launch = find_launch(exchange.gateway.app, name_of(await exchange.json()))
    await exchange.send_json(models.show(await describe(exchange, launch, within_s=None)))


async def _send(
    exchange: Exchange, launches: list[Launch], row: Callable[[ServedModel], dict[str, Any]]
) -> None:
    found = await asyncio.gather(*(describe(exchange, launch) for launch in launches))
    await exchange.send_json({"models": [row(model) for model in found]})


def refuse(words: str) -> Handler:
    """A handler of a path that another command answers."""

    async def handle(exchange: Exchange) -> None:
        raise GatewayError(Reason.NOT_SUPPORTED, f"{exchange.path} is not answered: {words}")

    return handle
