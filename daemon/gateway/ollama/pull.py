"""``/api/pull``: the weights of a model are fetched as ``node-ctl pull`` fetches them. It blocks until then.

A model that is served already is there. Ollama's own lines are few; the daemon's say the same in more words.
A client that leaves ends nothing: a pull belongs to the owner, and goes on (``node-ctl pull --cancel``).
"""

from collections.abc import AsyncIterator
from typing import Any

from catalog import names
from daemon.access.allowed import may_ask
from daemon.app import App
from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.listener.exchange import Exchange
from daemon.gateway.ollama.handling import NDJSON, line, name_of
from daemon.gateway.ollama.requests import is_stream
from daemon.gateway.served import find_launch
from daemon.state.records import PullRequest
from daemon.weights import pulls
from daemon.weights.transfers import Pull
from domain.errors import NodeError, UnknownModelError
from domain.launches.launch import Progress, Step
from domain.launches.plan import LaunchOptions

SUCCESS = {"status": "success"}
STATUS = {"unknown_model": Reason.NOT_FOUND, "usage": Reason.INVALID}


async def pull(exchange: Exchange) -> None:
    asked = await exchange.json()
    name, app = name_of(asked), exchange.gateway.app
    if not may_ask(app, exchange.key, name):
        raise GatewayError(Reason.FORBIDDEN, f"the key {exchange.key} may not fetch {name[:100]}")
    begun = None if _is_served(app, name) else await _begin(app, name)
    lines = _lines(name, begun)
    if is_stream(asked):
        await exchange.send_stream(_encoded(lines), content_type=NDJSON)
        return
    async for _ in lines:
        pass
    await exchange.send_json(SUCCESS)


def _is_served(app: App, name: str) -> bool:
    try:
        find_launch(app, name)
    except GatewayError:
        return False
    return True


async def _begin(app: App, name: str) -> Pull:
    """Names alone: a client must not make the daemon open paths or fetch any URL. Raises: GatewayError."""
    try:
        target = names.parse(name, app.catalogue).target
    except UnknownModelError as error:
        raise GatewayError(Reason.NOT_FOUND, f"{error}; {error.hint}".rstrip("; ")) from error
    except NodeError as error:
        raise GatewayError(Reason.INVALID, f"{error}; {error.hint}".rstrip("; ")) from error
    if not isinstance(target, names.Alias | names.Repo):
        message = f"{name[:100]!r} is not pulled: name a model of the catalogue or a repository of the hub"
        raise GatewayError(Reason.INVALID, message)
    request = PullRequest(name, LaunchOptions())
    found, _ = await pulls.begin(app, request)
    return found


async def _lines(name: str, begun: Pull | None) -> AsyncIterator[dict[str, Any]]:
    """Raises: GatewayError where it fails."""
    yield {"status": "pulling manifest"}
    if begun is None:
        yield SUCCESS
        return
    async for progress in begun.progress.follow():
        if progress.step in (Step.FAILED, Step.STOPPED):
            hint = f"; {progress.hint}" if progress.hint else ""
            reason = STATUS.get(progress.code or "", Reason.FAILED)
            raise GatewayError(reason, f"{progress.message}{hint}")
        yield _row(name, progress)
        if progress.step is Step.DONE:
            yield {"status": f"node-ctl launch {name} serves it"}
            yield SUCCESS
            return
    raise GatewayError(Reason.UNAVAILABLE, "the daemon stops; the pull goes on when it starts again")


def _row(name: str, progress: Progress) -> dict[str, Any]:
    """Clients draw a bar where a line has a digest, a total and what is completed."""
    if progress.step is not Step.DOWNLOAD or not progress.bytes_total:
        return {"status": progress.message}
    return {
        "status": f"pulling {name}",
        "digest": f"sha256:{name}",
        "total": progress.bytes_total,
        "completed": progress.bytes_done or 0,
    }


async def _encoded(lines: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for row in lines:
        yield line(row)
