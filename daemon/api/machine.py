"""The machine and the daemon: status, probe, doctor, shutdown."""

import asyncio
import os
import signal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from daemon import status
from daemon.app import App
from daemon.doctor import anonymize, report, service
from daemon.machine import snapshot
from domain.serialization import to_json
from probes import identifiers

router = APIRouter(prefix="/v1")


@router.get("/status")
async def get_status(request: Request) -> Any:
    """The daemon, its folders, how many launches are in which state."""
    return to_json(await status.status(app_of(request)))


@router.get("/probe")
async def get_probe(request: Request, refresh: bool = False) -> Any:
    """The machine, as of the last look or looked at now."""
    app = app_of(request)
    return to_json(await (snapshot.probe_now(app) if refresh else snapshot.latest(app)))


@router.get("/profile")
async def get_profile(request: Request) -> Any:
    """The machine looked at now, in the shape of the probe: for plans elsewhere, without whose it is."""
    app = app_of(request)
    seen = await snapshot.probe_now(app)
    own = await asyncio.to_thread(identifiers.read_identifiers, app.settings.sysroot)
    return to_json(anonymize.build_profile(seen, own))


Uid = Annotated[int | None, Query(ge=0, lt=2**32)]


@router.get("/doctor")
async def get_doctor(
    request: Request, check: str | None = None, hub: bool = False, caller: Uid = None
) -> Any:
    """What is in the way of serving, why, and what to do about it: of all checks or of one. ``caller`` is
    the number of the user who asks, whose groups are looked at, too."""
    only = None if check is None else service.known(check)
    seen = await service.facts(app_of(request), caller_uid=caller, ask_hub=hub or only == service.HUB)
    return to_json(service.findings(seen, only))


@router.get("/doctor/report")
async def get_report(request: Request, hub: bool = False, caller: Uid = None) -> Any:
    """The findings, and a text for a bug report: with settings, events and logs, without names, numbers and
    secrets."""
    app = app_of(request)
    seen = await service.facts(app, caller_uid=caller, ask_hub=hub)
    told = service.findings(seen)
    attached = await asyncio.to_thread(report.read, app.settings, seen)
    text = await asyncio.to_thread(report.text, seen, told, attached)
    return {"findings": to_json(told), "text": text}


@router.post("/shutdown", status_code=202)
async def post_shutdown() -> Any:
    """Ends as SIGTERM does: engines stop, what is desired comes back at the next start."""
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    return {"stopping": True}


def app_of(request: Request) -> App:
    app: App = request.app.state.app
    return app
