"""Ranges of a file on a server, for reading a header without the weights."""

from collections.abc import Callable, Mapping

import httpx

from domain.errors import DownloadError

TIMEOUT_S = 10.0
FIRST_READ_BYTES = 24  # tells size and tag, and what kind of file it is


def new_client() -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_S, follow_redirects=True)


class HttpSource:
    """A file on a server that answers ranges. A redirect is followed once and then remembered, so
    that each range costs one request. Size and tag must stay the same from range to range. ``refused``
    may know why the server hands nothing out.

    Of a file whose ``size_bytes`` are known, nothing is asked before the first read. A ``client`` that
    is handed in is shared, and left open. Raises: DownloadError."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        headers: Mapping[str, str] | None = None,
        size_bytes: int | None = None,
        client: httpx.Client | None = None,
        refused: Callable[[httpx.Response], DownloadError | None] = lambda _: None,
    ) -> None:
        self.name = name
        self.size_bytes = size_bytes or 0
        self.tag: str | None = None
        self.fetched_bytes = 0
        self._url = httpx.URL(url)
        self._host = self._url.host
        self._headers = dict(headers or {})
        self._client = client or new_client()
        self._is_shared = client is not None
        self._refused = refused
        self._first = b""
        if not self.size_bytes:
            try:
                self._first = self._get(0, FIRST_READ_BYTES)
            except DownloadError:
                self.close()
                raise

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size_bytes)
        if end <= len(self._first):
            return self._first[offset:end]
        return self._get(offset, end - offset)

    def close(self) -> None:
        if not self._is_shared:
            self._client.close()

    def _get(self, offset: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        if self._url.host == self._host:  # a token is for the hub, not for where it redirects to
            wanted |= self._headers
        try:
            with self._client.stream("GET", self._url, headers=wanted) as answer:
                self._check(answer)
                data = _at_most(answer, length)
                self._url = answer.url
        except httpx.HTTPError as error:
            raise DownloadError(f"{self.name} cannot be read over the network: {error}") from error
        self.fetched_bytes += len(data)
        return data

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code != httpx.codes.PARTIAL_CONTENT:
            raise self._refused(answer) or DownloadError(
                f"{self.name}: the server answered {answer.status_code} to a range request"
            )
        total = answer.headers.get("content-range", "").rpartition("/")[2]
        if not total.isdigit():
            raise DownloadError(f"{self.name}: the server does not say how long the file is")
        tag = answer.headers.get("etag")
        if (self.size_bytes or int(total), self.tag or tag) != (int(total), tag):
            raise DownloadError(f"{self.name} changed on the server while it was read", hint="try again")
        self.size_bytes, self.tag = int(total), tag


def _at_most(answer: httpx.Response, length: int) -> bytes:
    data = bytearray()
    for chunk in answer.iter_raw():
        data += chunk
        if len(data) >= length:
            break
    return bytes(data[:length])
