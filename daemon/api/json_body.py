"""JSON as requests bring it, read strictly: what is ambiguous is refused, not guessed."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from daemon.api.errors import RESPONSES
from daemon.api.responses import PrintableJSON


def new_router(prefix: str) -> APIRouter:
    """With all that the routes of the application have in common, so that it takes them as they are."""
    return APIRouter(
        prefix=prefix,
        route_class=StrictJSONRoute,
        default_response_class=PrintableJSON,
        responses=RESPONSES,
    )


class StrictJSONRoute(APIRoute):
    """A route whose body is refused with 400 for a key that is named twice, numbers that JSON does not have
    (NaN, Infinity), and nesting that no request needs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        try:
            return json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse)
        except json.JSONDecodeError:
            raise  # FastAPI tells the position
        except RecursionError as error:
            raise HTTPException(400, "the body is nested too deeply") from error
        except ValueError as error:  # not UTF-8; an integer of more digits than Python reads
            raise HTTPException(400, f"the body is no JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise HTTPException(400, f"the body names {name[:64]!r} twice")
        found[name] = value
    return found


def _refuse(constant: str) -> Any:
    raise HTTPException(400, f"the body has {constant}, which is no number of JSON")
