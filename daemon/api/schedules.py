"""Schedules: what is done at times of the day."""

from typing import Annotated, Any

from fastapi import Path, Request

from daemon.api.bodies import ScheduleBody
from daemon.api.json_body import new_router
from daemon.api.machine import app_of
from daemon.api.streams import MAX_ID
from daemon.schedules import service
from domain.serialization import to_json

router = new_router("/v1/schedules")


@router.get("")
async def get_schedules(request: Request) -> Any:
    """Each with its next time and what came of the last one."""
    return to_json(service.rows(app_of(request)))


@router.post("", status_code=201)
async def post_schedule(request: Request, body: ScheduleBody) -> Any:
    """Adds one. Its ``words`` are cron or plain: "every night at 2:30", "weekdays 23:00-07:00"."""
    return to_json(await service.add(app_of(request), body.request()))


@router.post("/{number}/remove")
async def post_remove(request: Request, number: Annotated[int, Path(ge=1, le=MAX_ID)]) -> Any:
    return to_json(await service.remove(app_of(request), number))
