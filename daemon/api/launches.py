"""Launches: begin, list, show, start again, stop."""

from dataclasses import replace
from typing import Any

from fastapi import Request, Response

from daemon.api.bodies import LaunchBody, StopBody
from daemon.api.json_body import new_router
from daemon.api.machine import app_of
from daemon.app import App
from daemon.launches import service
from daemon.launches.launch import Launch
from domain.launches.launch import LaunchRow
from domain.serialization import to_json

UNDER_WAY: dict[int | str, dict[str, Any]] = {200: {"description": "It is desired already"}}

router = new_router("/v1/launches")


@router.post("", status_code=202, responses=UNDER_WAY)
async def post_launch(request: Request, response: Response, body: LaunchBody) -> Any:
    """Begins a launch, 202; 200 if the same one is desired already. Its progress reports the rest. With
    ``retune`` a launch that is already served is restarted, and its thread count measured again; when it is
    served changes without a restart."""
    launch, created = await service.launch(
        app_of(request),
        body.model,
        body.options(),
        body.name,
        retune=body.retune,
        serving=body.serving(),
    )
    return _accepted(response, launch, created=created)


@router.post("/{name}/start", status_code=202, responses=UNDER_WAY)
async def post_start(request: Request, response: Response, name: str) -> Any:
    """Serves it again with its model and options, 202; 200 if it is desired already."""
    launch, created = await service.start(app_of(request), name)
    return _accepted(response, launch, created=created)


@router.post("/{name}/restart", status_code=202, responses=UNDER_WAY)
async def post_restart(request: Request, response: Response, name: str) -> Any:
    """Ends its engine and starts it again. It stays desired."""
    launch, created = await service.restart(app_of(request), name)
    return _accepted(response, launch, created=created)


def _accepted(response: Response, launch: Launch, *, created: bool) -> Any:
    response.status_code = 202 if created else 200
    return {"name": launch.name, "created": created}


@router.get("")
async def get_launches(request: Request) -> Any:
    app = app_of(request)
    return to_json([_reachable(app, launch.row()) for launch in app.launches.values()])


@router.get("/{name}")
async def get_launch(request: Request, name: str) -> Any:
    """The row, the plan, what was measured, and what was reused."""
    app = app_of(request)
    details = service.get(app, name).details()
    return to_json(replace(details, launch=_reachable(app, details.launch)))


@router.post("/{name}/stop")
async def post_stop(request: Request, name: str, body: StopBody | None = None) -> Any:
    """Ends it; it is no longer desired. With ``forget`` its record is deleted, too."""
    app = app_of(request)
    row = await service.stop(app, name, forget=body is not None and body.forget)
    return to_json(_reachable(app, row))


def _reachable(app: App, row: LaunchRow) -> LaunchRow:
    """With the address that clients use. An engine with a key answers the gateway alone."""
    engine, url = app.launches[row.name].engine if row.name in app.launches else None, app.gateway.url
    is_closed = engine is not None and engine.process.command.key is not None
    endpoint = url if is_closed and url is not None and row.endpoint is not None else row.endpoint
    return replace(row, gateway=url, endpoint=endpoint)
