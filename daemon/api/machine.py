"""The machine and the daemon: status, settings, probe, history, doctor, shutdown."""

import asyncio
import os
import signal
from typing import Annotated, Any

from fastapi import Query, Request

from config import loading
from daemon import status
from daemon.api.json_body import new_router
from daemon.app import App
from daemon.doctor import anonymize, report, service
from daemon.engines import service as engines
from daemon.launches.demand import memory
from daemon.machine import snapshot
from daemon.telemetry.history import history
from daemon.telemetry.subjects import Asked
from domain.errors import NotPermittedError
from domain.serialization import to_json
from domain.telemetry import DAY_S
from probes import identifiers
from probes.system import accounts

router = new_router("/v1")


@router.get("/status")
async def get_status(request: Request) -> Any:
    """The daemon, its folders, how many launches are in which state."""
    return to_json(await status.status(app_of(request)))


@router.get("/memory")
async def get_memory(request: Request) -> Any:
    """Of each GPU and of the RAM: what launches hold and have reserved, what others use, what is left."""
    return to_json(await memory.show(app_of(request)))


@router.get("/settings")
async def get_settings(request: Request) -> Any:
    """The settings in force with the origin of each, secrets masked, and what of the file is not used."""
    loaded = app_of(request).loaded
    return {
        "file": None if loaded.file is None else str(loaded.file),
        "settings": loading.effective(loaded),
        "problems": to_json(loaded.problems),
    }


@router.get("/probe")
async def get_probe(request: Request, refresh: bool = False) -> Any:
    """The machine as of the last snapshot, or of a new one."""
    app = app_of(request)
    return to_json(await (snapshot.probe_again(app) if refresh else snapshot.latest(app)))


@router.get("/profile")
async def get_profile(request: Request) -> Any:
    """A new snapshot of the machine in the shape of the probe, anonymized: for plans on other machines."""
    app = app_of(request)
    hardware = await snapshot.probe_now(app)
    own = await asyncio.to_thread(identifiers.read_identifiers, app.settings.sysroot)
    return to_json(anonymize.build_profile(hardware, own))


RecordedName = Annotated[str | None, Query(max_length=256)]
LONGEST_S = 1e9  # longer than anything is kept: refused with what is


@router.get("/history")
async def get_history(
    request: Request,
    what: RecordedName = None,
    since_s: Annotated[float, Query(gt=0, le=LONGEST_S, allow_inf_nan=False)] = DAY_S,
    device: RecordedName = None,
    launch: RecordedName = None,
    points: Annotated[int, Query(ge=10, le=300)] = 96,
) -> Any:
    """Temperature, power, memory, tokens and energy of the last ``since_s``, in at most ``points`` steps: of
    all devices and launches, or of one (``GPU0``, an id, ``host``). A step without a sample is ``null``."""
    found = await history(app_of(request), Asked(what, since_s, device, launch, points))
    return await asyncio.to_thread(to_json, found)  # it is large


@router.get("/engines")
async def get_engines(request: Request) -> Any:
    """The builds of engines on this machine: where from, what each can do, and what it serves."""
    return to_json(await engines.list_builds(app_of(request)))


Uid = Annotated[int | None, Query(ge=0, lt=2**32)]


@router.get("/doctor")
async def get_doctor(
    request: Request, check: str | None = None, hub: bool = False, caller: Uid = None
) -> Any:
    """What prevents models from being served, why, and how to fix it: of all checks or of one. ``caller`` is
    the id of the user who asks, whose groups are checked, too."""
    only = None if check is None else service.require_check(check)
    inputs = await service.collect_inputs(
        app_of(request), caller_uid=caller, ask_hub=hub or only == service.HUB
    )
    return to_json(service.run_checks(inputs, only))


@router.get("/doctor/report")
async def get_report(request: Request, hub: bool = False, caller: Uid = None) -> Any:
    """The findings, and a text for a bug report: with settings, events and logs, without names, serial
    numbers and secrets."""
    app = app_of(request)
    inputs = await service.collect_inputs(app, caller_uid=caller, ask_hub=hub)
    findings = service.run_checks(inputs)
    attachments = await asyncio.to_thread(report.read_attachments, app.settings, inputs)
    text = await asyncio.to_thread(report.render, inputs, findings, attachments)
    return {"findings": to_json(findings), "text": text}


@router.post("/shutdown", status_code=202)
async def post_shutdown(request: Request) -> Any:
    """Ends as SIGTERM does: engines stop, what is desired comes back at the next start. For root and the
    daemon's own user: the group that may use a service does not decide whether it runs."""
    if request.state.peer_uid not in (0, os.getuid()):
        raise NotPermittedError(
            f"only root and the user {_own_user()} may shut this node-daemon down",
            hint="for the system service: sudo systemctl stop node-daemon; for a model: node-ctl stop NAME",
        )
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    return {"stopping": True}


def _own_user() -> str:
    own = accounts.by_uid(os.getuid())
    return str(os.getuid()) if own is None else own.name


def app_of(request: Request) -> App:
    app: App = request.app.state.app
    return app
