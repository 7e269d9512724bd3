"""Ranges of a file on a server, for reading a header without the weights."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from catalog.hub.errors import Resource, is_page, no_data, translate_errors
from domain.errors import DownloadError

TIMEOUT_S = 10.0
PARTIAL_CONTENT = 206
_SIZE = re.compile(r"[0-9]{1,18}")
FIRST_READ_BYTES = 24  # has the size and the tag with it, and shows what kind of file it is


class HttpSource:
    """A file on a server that answers range requests, read through the hub client's connections. A redirect
    is followed once and then remembered, so that each range costs one request. Size and tag must stay the
    same from range to range. Any number of threads may read.

    If ``size_bytes`` is given, nothing is requested before the first read. Raises: DownloadError."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        repo: str = "",
        revision: str = "",
        headers: Mapping[str, str] | None = None,
        size_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.size_bytes = size_bytes or 0
        self.tag: str | None = None
        self.fetched_bytes = 0
        self._url = url
        self._host = urlsplit(url).hostname or ""
        self._resource = Resource(repo, revision, name, host="" if repo else self._host)
        self._headers = dict(headers or {})
        self._first = b""
        if not self.size_bytes:
            self._first = self._get(0, FIRST_READ_BYTES)

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size_bytes)
        if end <= len(self._first):
            return self._first[offset:end]
        return self._get(offset, end - offset)

    def close(self) -> None:
        """The connection stays open for the next file."""

    def _get(self, offset: int, length: int) -> bytes:
        from huggingface_hub import get_session  # noqa: PLC0415  # 0.2 s of import, for those who go online

        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        if urlsplit(self._url).hostname == self._host:  # a token is for the hub, not for a redirect's target
            headers |= self._headers
        with (
            translate_errors(self._resource),
            get_session().stream("GET", self._url, headers=headers, timeout=TIMEOUT_S) as response,
        ):
            self._check(response)
            data = _at_most(response, length)
            self._url = str(response.url)
        self.fetched_bytes += len(data)
        return data

    def _check(self, response: Any) -> None:
        from huggingface_hub.utils import hf_raise_for_status  # noqa: PLC0415  # as above

        if not self._resource.host:
            hf_raise_for_status(response)
        if is_page(response.headers):
            raise no_data(self._resource)
        if response.status_code != PARTIAL_CONTENT:
            raise DownloadError(f"{self.name}: the server answered {response.status_code} to a range request")
        total = response.headers.get("content-range", "").rpartition("/")[2]
        if not _SIZE.fullmatch(total):
            raise DownloadError(f"{self.name}: the server does not say how long the file is")
        tag = response.headers.get("etag")
        if (self.size_bytes or int(total), self.tag or tag) != (int(total), tag):
            raise DownloadError(f"{self.name} changed on the server while it was read", hint="try again")
        self.size_bytes, self.tag = int(total), tag


def _at_most(response: Any, length: int) -> bytes:
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        if len(data) >= length:
            break
    return bytes(data[:length])
