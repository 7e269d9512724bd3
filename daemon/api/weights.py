"""Weights: pull, list, pin, remove, make room, verify, adopt."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from daemon.api.bodies import AdoptBody, ModelBody, PinBody, PullBody, RoomBody
from daemon.api.json_body import new_router
from daemon.api.machine import app_of
from daemon.api.streams import LINES, NDJSON, lines
from daemon.launches.conversations import files
from daemon.weights import pulls, service
from daemon.weights.verify import verify
from domain.serialization import to_json

UNDER_WAY: dict[int | str, dict[str, Any]] = {200: {"description": "The same pull is under way"}}

router = new_router("/v1")


@router.post("/pulls", status_code=202, responses=UNDER_WAY)
async def post_pull(request: Request, response: Response, body: PullBody) -> Any:
    """Begins a pull, 202; 200 where the same one is under way. Answers once it is stored: from then on it
    survives a restart. Its progress reports the rest."""
    app = app_of(request)
    pull, created = await pulls.begin(app, body.request(app.settings.download_policy))
    response.status_code = 202 if created else 200
    return {"id": pull.id, "created": created}


@router.get("/pulls")
async def get_pulls(request: Request) -> Any:
    """Pulls under way, and the last ones that are over."""
    return to_json([pull.row() for pull in app_of(request).pulls.values()])


@router.get("/pulls/{number}/progress", response_class=StreamingResponse, responses=LINES)
async def get_progress(request: Request, number: int) -> StreamingResponse:
    """The lines so far, then those to come, until DONE, FAILED or STOPPED."""
    return StreamingResponse(lines(pulls.get(app_of(request), number).progress.follow()), media_type=NDJSON)


@router.post("/pulls/{number}/cancel")
async def post_cancel(request: Request, number: int) -> Any:
    """Ends it; what is on disk is kept."""
    return to_json((await pulls.cancel(app_of(request), number)).row())


@router.get("/models")
async def get_models(request: Request) -> Any:
    """The weights on this disk."""
    return to_json(await service.rows(app_of(request)))


@router.post("/models/pin")
async def post_pin(request: Request, body: PinBody) -> Any:
    """Keeps weights from being removed to make room, or no longer."""
    return to_json(await service.pin(app_of(request), body.model, pinned=body.pinned))


@router.post("/models/remove")
async def post_remove(request: Request, body: ModelBody) -> Any:
    """Deletes weights. Refused for what is in use, being downloaded, pinned, or another tool's."""
    app = app_of(request)
    freed = await service.remove(app, body.model)
    await files.remove_orphans(app)
    return to_json(freed)


@router.post("/models/gc")
async def post_gc(request: Request, body: RoomBody) -> Any:
    """Makes room: deletes leftovers, then the least recently used weights."""
    app = app_of(request)
    freed = await service.make_room(app, free_bytes=body.free_bytes, dry_run=body.dry_run)
    await files.remove_orphans(app)
    return to_json(freed)


@router.get("/models/verify", response_class=StreamingResponse, responses=LINES)
async def get_verify(
    request: Request, model: Annotated[str | None, Query(max_length=4096)] = None
) -> StreamingResponse:
    """Hashes weights again and streams each step. Closing the connection ends it."""
    app = app_of(request)
    if model is not None:
        await service.find(app, model)  # an unknown name is refused before the stream begins
    return StreamingResponse(lines(verify(app, model)), media_type=NDJSON)


@router.post("/models/adopt")
async def post_adopt(request: Request, body: AdoptBody) -> Any:
    """Links to the GGUF files of Ollama and LM Studio."""
    return to_json(await service.adopt(app_of(request), Path(body.folder) if body.folder else None))
