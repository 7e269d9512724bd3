"""Errors as HTTP: the one edge of the daemon where codes become statuses."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from daemon.api.responses import PrintableJSON
from domain import errors
from domain.launches.shortfall import Shortfall
from domain.serialization import to_json

log = logging.getLogger(__name__)

# By the nearest base class of the error. 423 is Locked, RFC 4918.
STATUS: dict[type[errors.NodeError], int] = {
    errors.NodeError: 500,
    errors.UsageError: 422,
    errors.ConfigError: 422,
    errors.UnknownModelError: 404,
    errors.UnknownLaunchError: 404,
    errors.BadModelError: 422,
    errors.CatalogueError: 422,
    errors.DoesNotFitError: 409,
    errors.NotPermittedError: 403,
    errors.BusyError: 423,
    errors.WorkerLostError: 503,
    errors.DownloadError: 502,
    errors.DiskFullError: 507,
    errors.EngineError: 502,
    errors.EngineRefusedError: 422,
}


class ErrorDetail(BaseModel):
    code: str
    message: str
    hint: str
    line: str
    explanation: Shortfall | None = None


class ErrorAnswer(BaseModel):
    """``line`` is the line of an engine's output that explains the error, if any. ``explanation``: of a plan
    that does not fit, where it was asked for."""

    error: ErrorDetail


# What every path may answer, in the OpenAPI
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "The request can't be served as it is: why, and what to do"},
    "5XX": {"model": ErrorAnswer, "description": "The daemon, an engine, the hub or the disk failed"},
}


def body(code: str, message: str, hint: str = "", line: str = "") -> dict[str, dict[str, Any]]:
    return {"error": {"code": code, "message": message, "hint": hint, "line": line}}


def install(app: FastAPI) -> None:
    @app.exception_handler(errors.NodeError)
    async def refused(request: Request, error: errors.NodeError) -> Response:
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        log.info("refused: %s %s: %s: %s", request.method, request.url.path, error.code, error.in_full)
        content = body(error.code, str(error), error.hint, error.engine_output)
        if isinstance(error, errors.DoesNotFitError) and error.shortfall is not None:
            content["error"]["explanation"] = to_json(error.shortfall)
        return PrintableJSON(content, status)

    @app.exception_handler(RequestValidationError)
    async def misread(request: Request, error: RequestValidationError) -> Response:
        del request
        first = min(
            error.errors(), key=lambda detail: detail["type"] != "extra_forbidden"
        )  # a misspelt field causes the other errors
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        message = f"{where}: {first['msg']}" if where else str(first["msg"])
        return PrintableJSON(body("bad_usage", message, "GET /openapi.json describes every request"), 422)

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path[:200]}: {error.detail}"
        code = "busy" if error.status_code == 503 else "bad_usage"
        content = body(code, message, "GET /openapi.json lists all paths")
        return PrintableJSON(content, error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def broke(request: Request, error: Exception) -> Response:
        """Starlette logs the traceback; the client must still get an answer it can read."""
        message = f"{request.url.path} broke: {type(error).__name__}: {error}"
        return PrintableJSON(body("failed", message, "the daemon's log has the traceback"), 500)
