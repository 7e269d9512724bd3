"""A repository on the hub, through the hub's own client. HF_ENDPOINT and HF_TOKEN count."""

import logging
import re
from dataclasses import dataclass
from typing import Any

from catalog.hub.errors import Resource, endpoint, no_data, translate_errors
from catalog.hub.http_source import HttpSource
from catalog.names import checked_path
from domain.errors import BadModelError, DownloadError
from domain.models.model import WeightFile

log = logging.getLogger(__name__)
ANSWER_TIMEOUT_S = 4.0
MAX_FILES = 20_000  # a model of 163 shards beside 40 quants of 10 parts has about 600
MAX_FILE_BYTES = 1 << 60
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    files: tuple[WeightFile, ...]


def list_files(repo: str, revision: str | None = None) -> Listing:
    """Every file with its size and, where the hub keeps it as a large file, its sha256.

    Raises: UnavailableError, NoSuchRepoError, UnknownModelError for a revision, DownloadError,
    BadModelError."""
    from huggingface_hub import HfApi  # noqa: PLC0415  # 0.2 s of import, for those who go online

    api = HfApi(endpoint=endpoint())
    resource = Resource(repo, revision)
    with translate_errors(resource):
        try:
            info = api.model_info(repo, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT_S)
        except (KeyError, TypeError, AttributeError) as error:  # of the client, for JSON that is no listing
            raise no_data(resource, "something else") from error
    siblings = info.siblings or ()
    if len(siblings) > MAX_FILES:
        raise BadModelError(
            f"{repo} lists {len(siblings)} files, more than the {MAX_FILES} that a model may have",
            hint="name a repository of one model",
        )
    files = tuple(_file(sibling, resource) for sibling in siblings)
    if not _COMMIT.match(str(info.sha)):
        raise DownloadError(f"the hub names {info.sha!r} as the commit of {repo}")
    log.info("hub listing: repo=%s commit=%s files=%d", repo, info.sha, len(files))
    return Listing(repo, str(info.sha), files)


def _file(sibling: Any, resource: Resource) -> WeightFile:
    """One row of a listing, whose values the client passes on as they are.

    Raises: UnavailableError, BadModelError."""
    name, size_bytes, sha256 = sibling.rfilename, sibling.size, sibling.lfs.sha256 if sibling.lfs else None
    is_sized = size_bytes is None or (type(size_bytes) is int and 0 <= size_bytes < MAX_FILE_BYTES)
    if not isinstance(name, str) or not is_sized or not isinstance(sha256, str | None):
        raise no_data(resource, "something else")
    return WeightFile(checked_path(name), size_bytes, sha256)


def open_file(listing: Listing, name: str) -> HttpSource:
    """For reading ranges. Reading raises DownloadError."""
    from huggingface_hub import hf_hub_url  # noqa: PLC0415  # as above
    from huggingface_hub.utils import build_hf_headers  # noqa: PLC0415  # as above

    return HttpSource(
        str(hf_hub_url(listing.repo, name, revision=listing.commit, endpoint=endpoint())),
        name=name,
        repo=listing.repo,
        revision=listing.commit,
        headers=build_hf_headers(),
        size_bytes=next((file.size_bytes for file in listing.files if file.name == name), None),
    )
