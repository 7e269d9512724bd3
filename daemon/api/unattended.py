"""What the daemon does and tells without anybody asking: schedules, notifications."""

from typing import Annotated, Any

from fastapi import Path, Request

from daemon.api.bodies import NotifyTestBody, ScheduleBody
from daemon.api.json_body import new_router
from daemon.api.machine import app_of
from daemon.api.streams import MAX_ID
from daemon.notifications import service as notifications
from daemon.schedules import service
from domain.serialization import to_json

router = new_router("/v1")


@router.get("/schedules")
async def get_schedules(request: Request) -> Any:
    """Each with its next time and what came of the last one."""
    return to_json(service.rows(app_of(request)))


@router.post("/schedules", status_code=201)
async def post_schedule(request: Request, body: ScheduleBody) -> Any:
    """Adds one. Its ``words`` are cron or plain: "every night at 2:30", "weekdays 23:00-07:00"."""
    return to_json(await service.add(app_of(request), body.request()))


@router.post("/schedules/{number}/remove")
async def post_remove(request: Request, number: Annotated[int, Path(ge=1, le=MAX_ID)]) -> Any:
    return to_json(await service.remove(app_of(request), number))


@router.get("/notifications")
async def get_notifications(request: Request) -> Any:
    """The owner's file of targets, and each target, its URL redacted: what it is sent, and what waits."""
    app = app_of(request)
    return {"file": str(app.settings.notify_file), "targets": to_json(await notifications.rows(app))}


@router.post("/notifications/test")
async def post_test(request: Request, body: NotifyTestBody) -> Any:
    """Sends a message to ``target``, or to all: what came of each."""
    return to_json(await notifications.send_tests(app_of(request), body.target))
