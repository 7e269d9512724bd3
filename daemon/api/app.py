"""The application: routes and errors put together. OpenAPI at /openapi.json."""

from fastapi import FastAPI

from daemon.api import errors, launches, machine, plans, streams, weights
from daemon.app import Node
from daemon.status import VERSION


def create_app(node: Node) -> FastAPI:
    """No pages for browsers: they would load their scripts from elsewhere."""
    app = FastAPI(title="node-daemon", version=VERSION, docs_url=None, redoc_url=None)
    app.state.node = node
    errors.install(app)
    for routes in (machine, plans, launches, streams, weights):
        app.include_router(routes.router)
    return app
