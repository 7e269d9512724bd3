"""Streams: progress, events, logs. Each ends when the daemon stops."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import StreamingResponse

from daemon.api.bodies import EngineCheckBody, ProveBody
from daemon.api.json_body import new_router
from daemon.api.machine import app_of
from daemon.api.responses import dump
from daemon.engines import check as engine_check
from daemon.launches import log_tail, service
from daemon.launches.proof.prove import begin, prove
from domain.serialization import to_json

NDJSON = "application/x-ndjson"
MAX_ID = 2**63 - 1  # of a row in SQLite

LINES: dict[int | str, dict[str, Any]] = {
    200: {"description": "JSON values, one a line", "content": {NDJSON: {}}}
}
TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "Lines of text", "content": {"text/plain": {}}}}

router = new_router("/v1")


@router.get("/launches/{name}/progress", response_class=StreamingResponse, responses=LINES)
async def get_progress(request: Request, name: str) -> StreamingResponse:
    """The lines of the current attempt, then those to come, until READY, FAILED or STOPPED."""
    return StreamingResponse(lines(service.get_progress(app_of(request), name).follow()), media_type=NDJSON)


@router.post("/launches/{name}/prove", response_class=StreamingResponse, responses=LINES)
async def post_prove(request: Request, name: str, body: ProveBody | None = None) -> StreamingResponse:
    """Fills the context of a launch that serves, measures on the way, and stores the depth that it held:
    nine tenths of it, or ``depth_tokens``. Its steps, until DONE or FAILED. Closing the connection ends it;
    the engine goes on serving."""
    app = app_of(request)
    launch, target_tokens = begin(app, name, None if body is None else body.depth_tokens)
    return StreamingResponse(lines(prove(app, launch, target_tokens)), media_type=NDJSON)


@router.post("/engines/check", response_class=StreamingResponse, responses=LINES)
async def post_engine_check(request: Request, body: EngineCheckBody | None = None) -> StreamingResponse:
    """Loads a model with each build of llama.cpp, or that of ``path``, and asks it the known question: the
    proofs, as they come. The model is the smallest on this disk, unless one is named."""
    app, asked = app_of(request), body or EngineCheckBody()
    found, model = await engine_check.begin(app, asked.path, asked.model)
    return StreamingResponse(lines(engine_check.check(app, found, model)), media_type=NDJSON)


@router.get("/events", response_class=StreamingResponse, responses=LINES)
async def get_events(
    request: Request,
    since: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    follow: bool = False,
    last: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
) -> StreamingResponse:
    """Events with an id above ``since``, oldest first; of those there are, only the ``last`` ones."""
    events = app_of(request).events.read(since, follow=follow, last=last)
    return StreamingResponse(lines(events), media_type=NDJSON)


@router.get("/launches/{name}/log", response_class=StreamingResponse, responses=TEXT)
async def get_log(
    request: Request, name: str, lines: Annotated[int, Query(ge=0, le=100_000)] = 100, follow: bool = False
) -> StreamingResponse:
    """The last lines of the engine's log."""
    app = app_of(request)
    launch = service.get(app, name)
    tail = log_tail.read(app.log_path(launch.name), lines, follow=follow, ended=app.stopping)
    return StreamingResponse(tail, media_type="text/plain; charset=utf-8")


async def lines(values: AsyncIterator[object]) -> AsyncIterator[str]:
    async for value in values:
        yield dump(to_json(value)) + "\n"
