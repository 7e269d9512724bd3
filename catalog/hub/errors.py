"""What the hub refuses, or is too busy for, in words: one place for listings, headers and downloads."""

import os
from collections.abc import Mapping

from catalog.hub.retry import TOO_MANY, is_busy, retry_after_s
from domain.errors import DownloadError, UnknownModelError
from domain.units import duration

GONE = (401, 403, 404, 410)  # 401 is also what the hub says of a repository that is private or not there
REJECTED = "Invalid credentials in Authorization header"  # the hub's X-Error-Message


class HubSilentError(DownloadError):
    """No answer that counts: no network, no name service, a hub that is down or wants to be left alone, or
    offline by the owner's wish."""


class NoSuchRepoError(DownloadError):
    """The hub answers, and has no such repository."""


def endpoint() -> str:
    """The hub's address, or its mirror's, whether it answers or not."""
    from huggingface_hub import constants  # noqa: PLC0415  # 0.2 s of import, for those who go online

    return (os.environ.get("HF_ENDPOINT") or str(constants.ENDPOINT)).rstrip("/")


def only_others(
    name: str, quant: str | None, engine: str | None, there: Mapping[str, str], error: HubSilentError
) -> HubSilentError:
    """No such ``quant``, or nothing for ``engine``, is on this disk, but others of the model are: ``there``
    has each quant with the engine that serves it."""
    others = ", ".join(f"{one} (for {serves})" for one, serves in there.items())
    if quant and quant.upper() not in map(str.upper, there):
        lacks = f"no {quant}"
        hint = f"one that is here does without the hub: name {next(iter(there))} after the colon"
    else:
        lacks = f"nothing that {engine} serves"
        hint = f"leave out --engine, or set it to {next(iter(there.values()))}"
    return HubSilentError(f"{name}: there is {lacks} on this disk, there is {others}; {error}", hint=hint)


def gated(repo: str) -> DownloadError:
    page = f"{endpoint()}/{repo}"
    if _has_token():
        return DownloadError(
            f"{repo} is gated, and the account of this token may not read it",
            hint=f"accept its licence at {page} with that account; some publishers answer after days",
        )
    return DownloadError(
        f"{repo} is gated: its licence has to be accepted first",
        hint=f"accept it at {page}, then set hub_token or HF_TOKEN to a token of that account",
    )


def bad_token() -> DownloadError:
    return DownloadError(
        "the hub does not know this token: it is wrong, expired or withdrawn",
        hint=f"make another at {endpoint()}/settings/tokens, or unset hub_token and HF_TOKEN",
    )


def no_repo(repo: str) -> NoSuchRepoError:
    return NoSuchRepoError(
        f"the hub has no repository {repo!r}, or it is private",
        hint="node-ctl search finds others; a private one wants the token of an account that may read it",
    )


def no_revision(repo: str, revision: str | None) -> UnknownModelError:
    error = UnknownModelError(repo, what=f"{repo} has no branch, tag or commit {revision!r}")
    error.hint = f"{endpoint()}/{repo}/tree/main lists them; without @{revision} it is main"
    return error


def busy(status: int, headers: Mapping[str, str]) -> HubSilentError:
    """Of an answer of ``patience.is_busy``."""
    after_s = retry_after_s(headers)
    when = "" if after_s is None else f" for {duration(after_s)}"
    if status == TOO_MANY:
        return HubSilentError(
            f"the hub wants no more requests from this address{when}",
            hint="try again later" if _has_token() else "try again later; with hub_token set it allows more",
        )
    return HubSilentError(f"the hub is out of order{when}: it answered {status}", hint="try again later")


def of_file(repo: str, status: int, headers: Mapping[str, str]) -> DownloadError | None:
    """Why a file of ``repo`` is not handed out, where its answer says so."""
    if is_busy(status):
        return busy(status, headers)
    if headers.get("x-error-code") == "GatedRepo":
        return gated(repo)
    if headers.get("x-error-message") == REJECTED:
        return bad_token()
    return no_repo(repo) if status in GONE else None


def _has_token() -> bool:
    from huggingface_hub import get_token  # noqa: PLC0415  # as above

    return get_token() is not None
