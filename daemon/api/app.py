"""The application: routes and errors put together. OpenAPI at /openapi.json."""

from fastapi import FastAPI

from daemon.api import access, errors, launches, machine, plans, streams, unattended, weights
from daemon.api.request_limits import RequestLimits
from daemon.api.responses import PrintableJSON
from daemon.app import App
from daemon.status import VERSION


def create_app(app: App) -> FastAPI:
    """No pages for browsers: they would load their scripts from elsewhere. Routes are taken as they are:
    ``include_router`` would analyse each one again."""
    api = FastAPI(
        title="node-daemon",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        default_response_class=PrintableJSON,
        responses=errors.RESPONSES,
    )
    api.state.app = app
    errors.install(api)
    api.add_middleware(RequestLimits)
    for routes in (machine, plans, launches, streams, weights, access, unattended):
        api.router.routes.extend(routes.router.routes)
    return api
