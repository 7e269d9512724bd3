"""One file of the hub, through the hub's own client: its metadata, and its bytes by HTTP or from xet storage.

The client's whole-file download is not used: it drops what it has when it fails, and compares no digest
(docs/weights.md).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from huggingface_hub import errors, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.utils import build_hf_headers
from huggingface_hub.utils._runtime import is_xet_available
from huggingface_hub.utils._xet import (
    XetFileData,
    get_xet_session,
    refresh_xet_connection_info,
    xet_headers_without_auth,
)

from catalog.hub.errors import Resource, UnavailableError, endpoint, translate_errors
from catalog.hub.retry import TryAgainError
from domain.units import MIB

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0
PIECE_BYTES = MIB // 4


@dataclass(frozen=True, slots=True)
class FileLocation:
    """``name`` of ``repo`` at one commit."""

    repo: str
    revision: str
    name: str

    @property
    def url(self) -> str:
        return str(hf_hub_url(self.repo, self.name, revision=self.revision, endpoint=endpoint()))


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file's metadata now. ``etag`` is the sha256 of a large file, the git object id of a small one."""

    size_bytes: int | None
    etag: str | None
    xet: XetFileData | None


def fetch_metadata(location: FileLocation) -> RemoteFile:
    """Raises: DownloadError, TryAgainError."""
    try:
        with translate_errors(Resource(location.repo, location.revision, location.name)):
            metadata = get_hf_file_metadata(location.url, timeout=TIMEOUT_S, endpoint=endpoint())
    except UnavailableError as error:
        raise TryAgainError(error.reason, error.retry_after_s) from error
    xet = metadata.xet_file_data if is_xet_available() else None
    return RemoteFile(metadata.size, metadata.etag, xet)


@contextmanager
def open_response(url: str, extra_headers: Mapping[str, str], *, of_hub: bool) -> Iterator[Any]:
    """The response to a GET, its body not read yet. The owner's token goes to the hub alone: the client drops
    it when it follows a redirect to another host. Raises: TryAgainError for a connection that breaks, also
    while the body is read."""
    headers = {**(build_hf_headers() if of_hub else {}), "Accept-Encoding": "identity", **extra_headers}
    try:
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S) as response:
            yield response
    except errors.HTTPError as error:
        raise TryAgainError(f"the connection broke: {error or type(error).__name__}") from error


def rechunk(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of PIECE_BYTES: each write and each hash releases the GIL, and a thread waits
    up to 5 ms to get it back. Bytes that arrived before a connection broke are passed on first."""
    buffer = bytearray()
    failure: Exception | None = None
    try:
        for chunk in chunks:
            buffer += chunk
            while len(buffer) >= PIECE_BYTES:
                yield bytes(buffer[:PIECE_BYTES])
                del buffer[:PIECE_BYTES]
    except (errors.HTTPError, TryAgainError) as error:
        failure = error
    if buffer:
        yield bytes(buffer)
    if failure is not None:
        raise failure


def xet_chunks(remote: XetFileData, size_bytes: int | None, start: int) -> Iterator[bytes]:
    """The bytes from ``start``, in order. Raises: TryAgainError."""
    from hf_xet import XetFileInfo  # type: ignore[import-untyped]  # noqa: PLC0415  # there only where is_xet_available says so

    headers = build_hf_headers()
    try:
        connection = refresh_xet_connection_info(file_data=remote, headers=headers)
        group = get_xet_session().new_download_stream_group(  # type: ignore[no-untyped-call]
            endpoint=connection.endpoint,
            token=connection.access_token,
            token_expiry_unix_secs=connection.expiration_unix_epoch,
            token_refresh_url=remote.refresh_route,
            token_refresh_headers=headers,
            custom_headers=xet_headers_without_auth(headers),
        )
        stream = group.download_stream(XetFileInfo(remote.file_hash, size_bytes), start=start)
    except (OSError, RuntimeError, ValueError, errors.HTTPError) as error:
        raise TryAgainError(f"xet storage does not answer: {error}") from error
    try:
        while True:
            try:
                data = next(stream, None)
            except (OSError, RuntimeError) as error:
                raise TryAgainError(f"xet storage broke off: {error}") from error
            if data is None:
                return
            yield bytes(data)
    finally:
        stream.cancel()
