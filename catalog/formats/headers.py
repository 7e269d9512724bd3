"""Shapes of what a hub listing holds: seen before, or read by range, several files at a time.

The vocabulary, nearly all of a GGUF header, is fetched for one quant and taken as read for the others
that have their tensor table at the same place.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from catalog.formats.gguf import reader as gguf
from catalog.formats.gguf.quants import QuantFiles
from catalog.formats.safetensors import reader as safetensors
from catalog.formats.safetensors import shards
from catalog.hub import client
from catalog.hub.cache import Cache
from catalog.hub.http_source import HttpSource
from domain.errors import BadModelError
from domain.model import ModelShape

log = logging.getLogger(__name__)
AT_ONCE = 6


def of_quants(
    found: client.Listing, quants: Sequence[QuantFiles], *, cache: Cache | None, online: bool
) -> Mapping[str, ModelShape]:
    """Shape by quant. One that cannot be used is left out, and where not online one never seen.

    Raises: DownloadError; BadModelError where none at all can be used."""
    shapes = {
        quant.quant: shape
        for quant in quants
        if cache and (shape := cache.shape(_tags(found, [file.name for file in quant.files])))
    }
    missing = [quant for quant in quants if quant.quant not in shapes]
    if missing and online:
        shapes |= _read(found, missing, cache, must=not shapes)
    return shapes


def of_shards(
    found: client.Listing, *, cache: Cache | None, online: bool
) -> tuple[tuple[str, ...], ModelShape] | None:
    """The files of a safetensors model, and its shape; where it holds none, or not online and never seen,
    None.

    Raises: DownloadError, BadModelError."""
    there = [file.name for file in found.files]
    opened = client.opener(found) if online else _never_seen
    try:
        names = shards.shards_of(there, lambda: safetensors.read_index(opened))
    except _NeverSeenError:
        return None
    if not names:
        return None
    tags = _tags(found, [shards.CONFIG, *names])
    if cache and (shape := cache.shape(tags)):
        return names, shape
    if not online:
        return None
    shape = safetensors.read_folder(names, opened, beside=there, at_once=AT_ONCE)
    if cache:
        cache.keep_shape(tags, shape)
    return names, shape


class _NeverSeenError(Exception):
    """Nothing is read of the hub now."""


def _never_seen(name: str) -> HttpSource:
    raise _NeverSeenError(name)


def _read(
    found: client.Listing, quants: Sequence[QuantFiles], cache: Cache | None, *, must: bool
) -> dict[str, ModelShape]:
    known: list[gguf.Header] = []
    shapes: dict[str, ModelShape] = {}
    problems: list[BadModelError] = []

    def read(quant: QuantFiles) -> None:
        try:
            shape = gguf.read_model(quant.files[0].name, opened, known=known)
        except BadModelError as error:
            log.warning("quant is not usable: repo=%s quant=%s why=%s", found.repo, quant.quant, error)
            problems.append(error)
            return
        if cache:
            cache.keep_shape(_tags(found, [file.name for file in quant.files]), shape)
        shapes[quant.quant] = shape

    opened = client.opener(found)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        read(quants[0])  # alone: the others lean on it
        list(pool.map(read, quants[1:]))
    if problems and must and not shapes:
        raise problems[0]
    return shapes


def _tags(found: client.Listing, names: Sequence[str]) -> list[str]:
    """What tells each file's bytes from any others: its digest, or its place in the repository's history."""
    digests = {file.name: file.sha256 for file in found.files}
    return [digests.get(name) or f"{found.repo}@{found.commit}/{name}" for name in names]
