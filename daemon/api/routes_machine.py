"""The machine and the daemon: status, probe, doctor, shutdown."""

import asyncio
import os
import signal
from typing import Any

from fastapi import APIRouter, Request

from daemon import doctor, hardware, status
from daemon.node import Node
from domain.jsonable import to_json

router = APIRouter(prefix="/v1")


@router.get("/status")
async def get_status(request: Request) -> Any:
    """The daemon, its folders, how many launches are in which state."""
    return to_json(await status.status(node_of(request)))


@router.get("/probe")
async def get_probe(request: Request, refresh: bool = False) -> Any:
    """The machine, as of the last look or looked at now."""
    node = node_of(request)
    return to_json(await (hardware.look(node) if refresh else hardware.latest(node)))


@router.get("/doctor")
async def get_doctor(request: Request) -> Any:
    """What is in the way of serving, why, and what to do about it."""
    return to_json(await doctor.examine(node_of(request)))


@router.post("/shutdown", status_code=202)
async def post_shutdown() -> Any:
    """Ends as SIGTERM does: engines stop, what is desired comes back at the next start."""
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    return {"stopping": True}


def node_of(request: Request) -> Node:
    node: Node = request.app.state.node
    return node
