"""One map from the exceptions of the hub's client to our errors: for listings, searches, headers, files."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from json import JSONDecodeError
from typing import Any

from catalog.hub.retry import TOO_MANY, is_busy, retry_after_s
from domain.errors import DownloadError, NodeError, UnknownModelError
from domain.models.model import ResolvedModel
from domain.suggestions import quant_hint
from domain.units import duration, gib

NOT_FOUND = (401, 403, 404, 410)  # 401 is also the hub's answer for a repository that is private or not there
REJECTED = "Invalid credentials in Authorization header"  # the hub's X-Error-Message


@dataclass(frozen=True, slots=True)
class Resource:
    """What a request is for. ``host`` is a server other than the hub, which has files and no repositories."""

    repo: str = ""
    revision: str | None = None
    file: str = ""
    host: str = ""

    @property
    def server(self) -> str:
        return self.host or "the hub"


class UnavailableError(DownloadError):
    """No usable answer: no network, no name service, a server that is down or rate-limits, or ``offline`` is
    set. ``reason`` is a short form of the message; ``retry_after_s`` is its Retry-After, if it sent one."""

    def __init__(
        self, message: str, *, hint: str, reason: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason or message
        self.retry_after_s = retry_after_s


class NoSuchRepoError(DownloadError):
    """The hub answers, and has no such repository."""


@contextmanager
def translate_errors(resource: Resource) -> Iterator[None]:
    """Raises: DownloadError, UnavailableError, NoSuchRepoError, UnknownModelError for a revision."""
    exceptions = _exceptions()
    try:
        yield
    except tuple(exceptions) as error:
        convert = next(exceptions[kind] for kind in type(error).__mro__ if kind in exceptions)
        raise convert(error, resource) from error


@cache
def _exceptions() -> Mapping[type[Exception], Callable[[Any, Resource], NodeError]]:
    """The most specific class of an exception counts. Source: huggingface_hub 2.4, errors.py."""
    from huggingface_hub import errors  # noqa: PLC0415  # 0.2 s of import, for those who go online

    return {
        errors.GatedRepoError: _gated,
        errors.RevisionNotFoundError: _no_revision,
        errors.RepositoryNotFoundError: _no_repo,
        errors.RemoteEntryNotFoundError: _no_file,
        errors.HFValidationError: _no_repo,
        errors.HfHubHTTPError: _refused,
        errors.HTTPError: _unreachable,
        OSError: _unreachable,
        JSONDecodeError: lambda _, resource: no_data(resource),
        UnicodeDecodeError: lambda _, resource: no_data(resource),
        ValueError: _no_proxy,
    }


def endpoint() -> str:
    """The address of the hub, or of its mirror."""
    from huggingface_hub import constants  # noqa: PLC0415  # as above

    return (os.environ.get("HF_ENDPOINT") or str(constants.ENDPOINT)).rstrip("/")


def is_page(headers: Mapping[str, str]) -> bool:
    """Whether an answer is a web page, such as a network's that asks for a login."""
    return headers.get("content-type", "").startswith("text/html")


def no_data(resource: Resource, what: str = "a page") -> UnavailableError:
    """Something else answers instead of the server."""
    where, other = f" ({endpoint()})", "; or set HF_ENDPOINT to the address of a mirror"
    if resource.host:
        where, other = "", "; or give the address of the file itself"
    return UnavailableError(
        f"{resource.server} does not answer: it sent {what} instead of data{where}",
        hint=f"a network that asks for a login does that: log in, in a browser{other}; models on this disk "
        "can be used without it",
        reason=f"it sent {what} instead of data",
    )


def only_others(
    name: str,
    quant: str | None,
    engine: str | None,
    others: Sequence[ResolvedModel],
    error: UnavailableError,
) -> UnavailableError:
    """The hub is not available, and no such ``quant``, or nothing for ``engine``, is on this disk, but
    ``others`` of the model are."""
    others = sorted(others, key=lambda model: model.weights.size_bytes)
    listed = ", ".join(
        f"{model.weights.quant} ({gib(model.weights.size_bytes)}, for {model.engine})" for model in others
    )
    if quant and quant.upper() not in {model.weights.quant.upper() for model in others}:
        lacks = f"no {quant}"
        hint = f"to do without the hub, name {others[0].weights.quant} after the colon"
    else:
        lacks = f"nothing that {engine} serves"
        hint = f"leave out --engine, or set it to {others[0].engine}"
    return UnavailableError(f"{name}: there is {lacks} on this disk, there is {listed}; {error}", hint=hint)


def not_known(
    name: str, quant: str, sizes_bytes: Mapping[str, int | None], error: UnavailableError
) -> UnavailableError:
    """The hub is not available, and the catalogue knows other quants of the model than ``quant``."""
    return UnavailableError(
        f"{name}: no quant {quant} is known, and the hub can't be asked for it; {error}",
        hint=f"{quant_hint(quant, sizes_bytes)} in the catalogue",
    )


def _gated(_: Exception, resource: Resource) -> DownloadError:
    page = f"{endpoint()}/{resource.repo}"
    if _has_token():
        return DownloadError(
            f"{resource.repo} is gated, and the account of this token may not read it",
            hint=f"accept its licence at {page} with that account; some publishers take days to answer",
        )
    return DownloadError(
        f"{resource.repo} is gated: its licence has to be accepted first",
        hint=f"accept it at {page}, then set hub_token or HF_TOKEN to a token of that account",
    )


def _no_repo(error: Exception, resource: Resource) -> DownloadError:
    if resource.file:
        return _no_file(error, resource)
    return NoSuchRepoError(
        f"the hub has no repository {resource.repo!r}, or it is private",
        hint="node-ctl search finds others; a private one needs the token of an account that may read it",
    )


def _no_revision(error: Exception, resource: Resource) -> NodeError:
    if resource.file:
        return _no_file(error, resource)
    repo, revision = resource.repo, resource.revision
    unknown = UnknownModelError(repo, what=f"{repo} has no branch, tag or commit {revision!r}")
    unknown.hint = f"{endpoint()}/{repo}/tree/main lists them; without @{revision} it is main"
    return unknown


def _no_file(_: Exception, resource: Resource) -> DownloadError:
    """A file that was listed."""
    return DownloadError(
        f"{resource.repo} has no {resource.file} at {(resource.revision or 'main')[:12]} any more, "
        "or it became private",
        hint="ask for it again to see what the repository has now; what was downloaded is kept",
    )


def _refused(error: Any, resource: Resource) -> NodeError:
    """By its status, where the client knows no more."""
    status, headers = error.response.status_code, error.response.headers
    if is_busy(status):
        return _busy(status, headers)
    if headers.get("x-error-message") == REJECTED:
        return DownloadError(
            "the hub rejects this token: it is wrong, expired or revoked",
            hint=f"create another at {endpoint()}/settings/tokens, or unset hub_token and HF_TOKEN",
        )
    if resource.repo and status in NOT_FOUND:
        return _no_repo(error, resource)
    return DownloadError(f"the hub answered with an error: {_first_line(error)}")


def _busy(status: int, headers: Mapping[str, str]) -> UnavailableError:
    after_s = retry_after_s(headers)
    when = "" if after_s is None else f" for {duration(after_s)}"
    message, hint = f"the hub is unavailable{when}: it answered {status}", "try again later"
    if status == TOO_MANY:
        message = f"the hub refuses more requests from this address{when}"
        hint += "" if _has_token() else "; with hub_token set it allows more"
    return UnavailableError(message, hint=hint, reason=f"the hub answered {status}", retry_after_s=after_s)


def _unreachable(error: Exception, resource: Resource) -> UnavailableError:
    check = "" if resource.host else "node-ctl doctor --check hub says what to check; "
    return UnavailableError(
        f"{resource.server} does not answer: {_first_line(error)}",
        hint=f"{check}models on this disk can be used without it",
    )


def _no_proxy(error: Exception, resource: Resource) -> UnavailableError:
    """The client reads the variables of proxies when it opens its first connection."""
    return UnavailableError(
        f"{resource.server} can't be asked: {_first_line(error)}",
        hint="check HTTPS_PROXY and ALL_PROXY in the environment of the daemon: http, https, socks5 and "
        "socks5h are understood; models on this disk can be used without it",
    )


def _first_line(error: Exception) -> str:
    """Without the number of an OSError, ``[Errno -2]``."""
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return re.sub(r"^\[Errno -?\d+\] ", "", line)


def _has_token() -> bool:
    from huggingface_hub import get_token  # noqa: PLC0415  # as above

    return get_token() is not None
