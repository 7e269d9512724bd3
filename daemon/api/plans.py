"""Plans, estimates, comparisons, and searches of the hub."""

from typing import Any

from fastapi import Request

from daemon.api.bodies import (
    CatalogueBody,
    CompareBody,
    EstimateBody,
    OffersBody,
    PlanBody,
    SearchBody,
    profile,
)
from daemon.api.json_body import new_router
from daemon.api.machine import app_of
from daemon.planning.compare import compare
from daemon.planning.estimate import estimate
from daemon.planning.plan import plan
from daemon.planning.refusals.explanation import explained_plan
from daemon.weights.catalogue import update as catalogue_update
from daemon.weights.hub_search import search
from daemon.weights.offers import offers
from domain.serialization import to_json

router = new_router("/v1")


@router.get("/catalogue")
async def get_catalogue(request: Request) -> Any:
    """The models that have an alias, with all that is known of them, and where that is from."""
    known = app_of(request).known
    return [to_json(model) | {"origin": known.origins[alias]} for alias, model in known.models.items()]


@router.post("/catalogue/update")
async def post_catalogue_update(request: Request, body: CatalogueBody) -> Any:
    """Takes a newer catalogue from the address that is set; with ``check`` says only what it has."""
    return to_json(await catalogue_update.update(app_of(request), check=body.check))


@router.post("/catalogue/revert")
async def post_catalogue_revert(request: Request) -> Any:
    """Goes back to the catalogue that ships."""
    return {"reverted_version": await catalogue_update.revert(app_of(request))}


@router.post("/plan")
async def post_plan(request: Request, body: PlanBody) -> Any:
    """The plan a launch would run, here or on the machine ``on``."""
    choose = explained_plan if body.explain else plan
    return to_json(await choose(app_of(request), body.model, body.options(), on=profile(body.on)))


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


@router.post("/offers")
async def post_offers(request: Request, body: OffersBody) -> Any:
    """Where no model has the name ``model``: what of catalogue and hub has these words, and fits here.
    Launches nothing."""
    return to_json(await offers(app_of(request), body.model, body.options()))


@router.post("/search")
async def post_search(request: Request, body: SearchBody) -> Any:
    """Repositories of the hub whose names contain these words, the most downloaded first."""
    return to_json(await search(app_of(request), body.words, limit=body.limit, formats=body.formats))
