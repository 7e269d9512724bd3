"""What the model hub says of a repository, through its own client. HF_ENDPOINT and HF_TOKEN count."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from catalog.names import checked_path
from catalog.remote import HttpSource, new_client
from domain.errors import DownloadError
from domain.model import WeightFile

log = logging.getLogger(__name__)
ANSWER_TIMEOUT_S = 4.0
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


class HubSilentError(DownloadError):
    """No answer at all: no network, no name service, or offline by the owner's wish."""


class NoSuchRepoError(DownloadError):
    """The hub answers, and has no such repository or revision."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    files: tuple[WeightFile, ...]


def listing(repo: str, revision: str | None = None) -> Listing:
    """Every file with its size and, where the hub keeps it as a large file, its sha256.

    Raises: HubSilentError, NoSuchRepoError, DownloadError."""
    info = _ask(
        lambda api: api.model_info(repo, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT_S),
        repo,
    )
    files = tuple(
        WeightFile(checked_path(sibling.rfilename), sibling.size, sibling.lfs.sha256 if sibling.lfs else None)
        for sibling in info.siblings or ()
    )
    if not _COMMIT.match(str(info.sha)):
        raise DownloadError(f"the hub names {info.sha!r} as the commit of {repo}")
    log.info("hub listing: repo=%s commit=%s files=%d", repo, info.sha, len(files))
    return Listing(repo, str(info.sha), files)


def file_url(repo: str, revision: str, name: str) -> str:
    from huggingface_hub import hf_hub_url  # noqa: PLC0415  # 0.2 s of import, for those who go online

    return str(hf_hub_url(repo, name, revision=revision, endpoint=_endpoint()))


def headers() -> dict[str, str]:
    """What the hub wants to see with each request: the client's name, and the owner's token if any."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: PLC0415  # as above

    return dict(build_hf_headers())


def source(found: Listing, name: str) -> HttpSource:
    """The bytes of one file, by range. Raises: DownloadError."""
    return HttpSource(file_url(found.repo, found.commit, name), name=name, headers=headers())


@contextmanager
def sources(found: Listing) -> Iterator[Callable[[str], HttpSource]]:
    """Opens files of a repository by name, for reading ranges; their connections are kept for the next.
    Any number of threads may do it. Reading raises DownloadError."""
    sizes = {file.name: file.size_bytes for file in found.files}
    sent = headers()
    with new_client() as client:
        yield lambda name: HttpSource(
            file_url(found.repo, found.commit, name),
            name=name,
            headers=sent,
            size_bytes=sizes.get(name),
            client=client,
        )


def address() -> str:
    """Where the hub is, whether it answers or not."""
    from huggingface_hub import HfApi  # noqa: PLC0415  # as above

    return str(HfApi(endpoint=_endpoint()).endpoint)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _ask(call: Callable[[Any], Any], repo: str) -> Any:
    from huggingface_hub import HfApi, errors  # noqa: PLC0415  # as above

    api = HfApi(endpoint=_endpoint())
    try:
        return call(api)
    except errors.GatedRepoError as error:
        raise DownloadError(
            f"{repo} is gated: its licence has to be accepted first",
            hint=f"accept it at {api.endpoint}/{repo}, then set HF_TOKEN to a token of that account",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise NoSuchRepoError(f"the hub has no repository {repo!r}, or it is private") from error
    except errors.HfHubHTTPError as error:
        if error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise HubSilentError(
                f"the hub is out of order: {_first_line(error)}", hint="try later"
            ) from error
        raise DownloadError(f"the hub answered with an error for {repo}: {_first_line(error)}") from error
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined]  # its transport's own base
        raise HubSilentError(
            f"the hub does not answer: {_first_line(error)}",
            hint="what is on this disk can be used without it",
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
