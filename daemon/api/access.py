"""Who may ask the gateway: keys, and whether it is open to the local network."""

from typing import Any

from fastapi import Request

from daemon.access import keys, lan
from daemon.api.bodies import KeyBody, LanBody, NewKeyBody
from daemon.api.json_body import new_router
from daemon.api.machine import app_of
from domain.serialization import to_json

router = new_router("/v1")


@router.get("/keys")
async def get_keys(request: Request) -> Any:
    """The names of keys, when each was made and last used; the keys themselves are not stored."""
    return to_json(keys.rows(app_of(request)))


@router.post("/keys", status_code=201)
async def post_key(request: Request, body: NewKeyBody) -> Any:
    """A new key, which is shown this once, and what it may do."""
    limits = keys.KeyLimits(tuple(body.models), body.priority, body.rate)
    return to_json(await keys.add(app_of(request), body.name, limits))


@router.post("/keys/revoke")
async def post_revoke(request: Request, body: KeyBody) -> Any:
    """From now on the key opens nothing."""
    return to_json(await keys.revoke(app_of(request), body.name))


@router.get("/lan")
async def get_lan(request: Request) -> Any:
    """Whether the gateway is open to the local network, and at which addresses."""
    return to_json(lan.lan_state(app_of(request)))


@router.post("/lan")
async def post_lan(request: Request, body: LanBody) -> Any:
    """Opens the gateway to the local network, with a first key if there is none, or closes it."""
    app = app_of(request)
    return to_json(await (lan.open_lan(app, body.key_name) if body.on else lan.close_lan(app)))
