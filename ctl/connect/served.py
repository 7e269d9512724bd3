"""What is served now, asked of the gateway itself: what it lists is what a client sees."""

import json
import os
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ctl.client import Daemon
from ctl.connect.setup import NO_KEY, ServedModel, Service
from domain.errors import NodeError, UnknownLaunchError, UsageError
from domain.suggestions import did_you_mean

WITHIN_S = 10.0


def find_service(daemon: Daemon, model: str | None, *, url: str | None, key: str | None) -> Service:
    """``url`` is told to the client in place of the address on this machine.

    Raises: NodeError where the gateway does not listen; UnknownLaunchError for a model that is not served,
    and where none is; UsageError where several are and none is named, and for a wrong ``url``."""
    status = daemon.get("/v1/status")
    base = status.get("gateway")
    if not base:
        problems = [one["what"] for one in status.get("problems", ()) if _is_of_gateway(one)]
        why = problems[0] if problems else "the setting listen is off"
        raise NodeError(f"there is no address for clients: {why}", hint="see node-ctl doctor")
    models = _models(base, key)
    chosen = choose(models, model)
    told = base if url is None else _checked(url)
    return Service(told, models, chosen, Path.home(), dict(os.environ), key or NO_KEY)


def choose(models: Sequence[ServedModel], asked: str | None) -> ServedModel:
    """Raises: as ``find_service``."""
    names = [model.name for model in models]
    if not models:
        raise UnknownLaunchError(
            "no model that generates text is served",
            hint="node-ctl launch MODEL, then this again; node-ctl launch gpt-oss-20b fits most machines",
        )
    if asked is None:
        if len(models) == 1:
            return models[0]
        raise UsageError(f"{len(models)} models are served: {', '.join(names)}", hint="name one with --model")
    found = next((model for model in models if model.name == asked), None)
    if found is None:
        raise UnknownLaunchError(f"no model is served as {asked!r}", hint=did_you_mean(asked, names))
    return found


def _models(base: str, key: str | None) -> tuple[ServedModel, ...]:
    """Of ``/v1/models`` those that generate text. Raises: NodeError."""
    host = urlsplit(base)
    connection = HTTPConnection(host.hostname or "", host.port, timeout=WITHIN_S)
    try:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        connection.request("GET", "/v1/models", headers=headers)
        rows = json.loads(connection.getresponse().read())["data"]
        return tuple(_model(row) for row in rows if "text" in row["architecture"]["output_modalities"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise NodeError(
            f"{base} did not list its models: {error or type(error).__name__}", hint="see node-ctl doctor"
        ) from error
    finally:
        connection.close()


def _checked(url: str) -> str:
    """Without a path: each client adds its own. Raises: UsageError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is no address", hint="such as http://192.168.1.20:8411")
    return f"{parts.scheme}://{parts.netloc}"


def _model(row: dict[str, Any]) -> ServedModel:
    return ServedModel(str(row["id"]), row.get("context_length"))


def _is_of_gateway(problem: object) -> bool:
    return isinstance(problem, dict) and problem.get("source") == "gateway"
