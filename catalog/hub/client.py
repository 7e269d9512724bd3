"""What the model hub says of a repository, through its own client. HF_ENDPOINT and HF_TOKEN count."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from catalog.hub import errors as refusals
from catalog.hub.errors import HubSilentError
from catalog.hub.http_source import HttpSource, new_client
from catalog.names import checked_path
from domain.errors import BadModelError, DownloadError
from domain.model import WeightFile

log = logging.getLogger(__name__)
ANSWER_TIMEOUT_S = 4.0
MOST_FILES = 20_000  # a model in 163 shards with 40 quants of 10 parts beside has some 600
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    files: tuple[WeightFile, ...]


def listing(repo: str, revision: str | None = None) -> Listing:
    """Every file with its size and, where the hub keeps it as a large file, its sha256.

    Raises: HubSilentError, NoSuchRepoError, UnknownModelError for a revision, DownloadError,
    BadModelError."""
    info = _ask(
        lambda api: api.model_info(repo, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT_S),
        repo,
        revision,
    )
    if len(info.siblings or ()) > MOST_FILES:
        raise BadModelError(
            f"{repo} lists {len(info.siblings)} files, more than the {MOST_FILES} that any model has",
            hint="name a repository of one model",
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

    return str(hf_hub_url(repo, name, revision=revision, endpoint=refusals.endpoint()))


def headers() -> dict[str, str]:
    """What the hub wants to see with each request: the client's name, and the owner's token if any."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: PLC0415  # as above

    return dict(build_hf_headers())


def source(found: Listing, name: str) -> HttpSource:
    """The bytes of one file, by range. Raises: DownloadError."""
    return _source(found, name, headers(), None)


@contextmanager
def sources(found: Listing) -> Iterator[Callable[[str], HttpSource]]:
    """Opens files of a repository by name, for reading ranges; their connections are kept for the next.
    Any number of threads may do it. Reading raises DownloadError."""
    sent = headers()
    with new_client() as client:
        yield lambda name: _source(found, name, sent, client)


def _source(found: Listing, name: str, sent: Mapping[str, str], client: httpx.Client | None) -> HttpSource:
    return HttpSource(
        file_url(found.repo, found.commit, name),
        name=name,
        headers=sent,
        size_bytes=next((file.size_bytes for file in found.files if file.name == name), None),
        client=client,
        refused=lambda answer: refusals.of_file(found.repo, answer.status_code, answer.headers),
    )


def ask(call: Callable[[Any], Any]) -> Any:
    """What the client's ``call`` brings. Raises: HubSilentError, DownloadError."""
    return _ask(call, "", None)


def _ask(call: Callable[[Any], Any], repo: str, revision: str | None) -> Any:
    from huggingface_hub import HfApi, errors  # noqa: PLC0415  # as above

    try:
        return call(HfApi(endpoint=refusals.endpoint()))
    except errors.GatedRepoError as error:
        raise refusals.gated(repo) from error
    except errors.RevisionNotFoundError as error:
        raise refusals.no_revision(repo, revision) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise refusals.no_repo(repo) from error
    except errors.HfHubHTTPError as error:
        answer = error.response
        why = refusals.of_file(repo, answer.status_code, answer.headers)
        raise why or DownloadError(f"the hub answered with an error: {_first_line(error)}") from error
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined]  # its transport's own base
        raise HubSilentError(
            f"the hub does not answer: {_first_line(error)}",
            hint="what is on this disk can be used without it",
        ) from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
