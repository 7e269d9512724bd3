"""Fetches a small file from an address that an owner has set: from there alone, bounded in size and time."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from catalog.hub.errors import is_page
from domain.errors import DownloadError
from domain.units import MIB

if TYPE_CHECKING:
    import httpx

WITHIN_S = 30.0
SILENCE_S = 10.0
CHUNK_BYTES = 64 * 1024
OK = 200
CHECK_ADDRESS = "check the address in catalogue_url"


def fetch(url: str, *, max_bytes: int) -> bytes:
    """Follows no redirect: the address is the owner's choice. Raises: DownloadError."""
    import httpx  # noqa: PLC0415  # 50 ms of import, for those who go online

    where = f"the catalogue at {urlsplit(url).netloc}"
    try:
        with (
            httpx.Client(timeout=SILENCE_S, follow_redirects=False) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            _check(response, where)
            return _read(response, where, max_bytes)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        why = str(error) or type(error).__name__
        raise DownloadError(f"{where} can't be fetched: {why}", hint=CHECK_ADDRESS) from error


def _check(response: "httpx.Response", where: str) -> None:
    if response.is_redirect:
        raise DownloadError(
            f"{where} redirects to {response.headers.get('location', '')[:200]!r}, which is not followed",
            hint="set catalogue_url to the address where the file is",
        )
    if response.status_code != OK:
        raise DownloadError(
            f"{where} can't be fetched: the server answered {response.status_code}", hint=CHECK_ADDRESS
        )
    if is_page(response.headers):
        raise DownloadError(
            f"{where} is a page (HTML), not a catalogue",
            hint=f"{CHECK_ADDRESS}; a network may ask for a login",
        )


def _read(response: "httpx.Response", where: str, max_bytes: int) -> bytes:
    if (told := _length(response.headers)) is not None and told > max_bytes:
        raise _too_large(where, max_bytes)
    data, end_s = bytearray(), time.monotonic() + WITHIN_S
    for chunk in response.iter_raw(CHUNK_BYTES):
        data += chunk
        if len(data) > max_bytes:
            raise _too_large(where, max_bytes)
        if time.monotonic() > end_s:
            raise DownloadError(
                f"{where} can't be fetched: {len(data)} bytes came in {WITHIN_S:.0f} s",
                hint="try again later",
            )
    return bytes(data)


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _too_large(where: str, max_bytes: int) -> DownloadError:
    return DownloadError(
        f"{where} is larger than {max_bytes // MIB} MiB, the most that is read", hint=CHECK_ADDRESS
    )
