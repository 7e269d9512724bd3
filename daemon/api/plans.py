"""Plans, estimates, comparisons, and searches of the hub."""

from typing import Any

from fastapi import APIRouter, Request

from daemon.api.bodies import CompareBody, EstimateBody, PlanBody, SearchBody, profile
from daemon.api.json_body import StrictJSONRoute
from daemon.api.machine import app_of
from daemon.planning.compare import compare
from daemon.planning.estimate import estimate
from daemon.planning.plan import plan
from daemon.weights.hub_search import search
from domain.serialization import to_json

router = APIRouter(prefix="/v1", route_class=StrictJSONRoute)


@router.get("/catalogue")
async def get_catalogue(request: Request) -> Any:
    """The models that have an alias, with all that is known of them."""
    return to_json(list(app_of(request).catalogue.values()))


@router.post("/plan")
async def post_plan(request: Request, body: PlanBody) -> Any:
    """The plan a launch would run, here or on the machine ``on``."""
    return to_json(await plan(app_of(request), body.model, body.options(), on=profile(body.on)))


@router.post("/estimate")
async def post_estimate(request: Request, body: EstimateBody) -> Any:
    """Memory and speed of exactly these engine arguments."""
    found = await estimate(
        app_of(request),
        body.model,
        body.args,
        on=profile(body.on),
        gpus=body.gpus,
        depth_tokens=body.depth_tokens,
        engine=body.engine,
    )
    return to_json(found)


@router.post("/compare")
async def post_compare(request: Request, body: CompareBody) -> Any:
    """The plan of each model on each machine of ``on``, for each model the fastest first."""
    boxes = [box for data in body.on if (box := profile(data)) is not None]
    return to_json(await compare(app_of(request), body.models, boxes))


@router.post("/search")
async def post_search(request: Request, body: SearchBody) -> Any:
    """Repositories of the hub whose names contain these words, the most downloaded first."""
    return to_json(await search(app_of(request), body.words, limit=body.limit, formats=body.formats))
