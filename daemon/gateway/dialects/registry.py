"""Every dialect, in the order in which their routes are tried."""

from dataclasses import dataclass

from daemon.gateway.dialects import anthropic, ollama, openai
from daemon.gateway.dialects.dialect import Dialect, Headers, Route
from daemon.gateway.errors import GatewayError, Reason

DIALECTS: tuple[Dialect, ...] = (anthropic.DIALECT, ollama.DIALECT, openai.DIALECT)
DEFAULT = openai.DIALECT  # writes the errors of paths that nobody answers


@dataclass(frozen=True, slots=True)
class Found:
    dialect: Dialect
    route: Route
    rest: str = ""


_EXACT: dict[str, list[Found]] = {}
_PREFIXES: dict[str, list[Found]] = {}
for _dialect in DIALECTS:
    for _route in _dialect.routes:
        _table, _path = (_PREFIXES, _route.path[:-1]) if _route.path.endswith("/*") else (_EXACT, _route.path)
        _table.setdefault(_path, []).append(Found(_dialect, _route))


def find_route(method: str, path: str, headers: Headers) -> Found:
    """The first route of ``path`` for ``method``; HEAD is answered where GET is. Raises: GatewayError."""
    choices = _of_path(path)
    wanted = {method, "GET"} if method == "HEAD" else {method}
    for found in choices:
        if found.route.method in wanted and found.route.when(headers):
            return found
    if choices:
        allowed = ", ".join(sorted({found.route.method for found in choices}))
        raise GatewayError(Reason.INVALID, f"{path[:200]} answers {allowed}, not {method[:20]}", status=405)
    raise GatewayError(Reason.NOT_FOUND, f"{method[:20]} {path[:200]} is not answered here: docs/gateway.md")


def dialect_of(path: str, headers: Headers) -> Dialect:
    """The one whose clients call ``path``, whatever the method: it writes the error."""
    for found in _of_path(path):
        if found.route.when(headers):
            return found.dialect
    return DEFAULT


def _of_path(path: str) -> list[Found]:
    if path in _EXACT:
        return _EXACT[path]
    for prefix, choices in _PREFIXES.items():
        if path.startswith(prefix) and len(path) > len(prefix):
            rest = path.removeprefix(prefix)
            return [Found(found.dialect, found.route, rest) for found in choices]
    return []
