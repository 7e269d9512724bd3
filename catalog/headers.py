"""Shapes of what a hub listing holds: seen before, or read by range, several files at a time.

The vocabulary, nearly all of a GGUF header, is fetched for one quant and taken as read for the others
that have their tensor table at the same place.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from catalog import gguf, hub, safetensors
from catalog.cache import Cache
from catalog.quants import QuantFiles
from domain.errors import BadModelError
from domain.model import ModelShape

log = logging.getLogger(__name__)
AT_ONCE = 6


def of_quants(
    found: hub.Listing, quants: Sequence[QuantFiles], *, cache: Cache | None, online: bool
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
    found: hub.Listing, names: tuple[str, ...], *, cache: Cache | None, online: bool
) -> ModelShape | None:
    """The shape of a safetensors model; where not online and never seen, None.

    Raises: DownloadError, BadModelError."""
    tags = _tags(found, [safetensors.CONFIG, *names])
    if cache and (shape := cache.shape(tags)):
        return shape
    if not online:
        return None
    with hub.sources(found) as opened:
        shape = safetensors.read_folder(names, opened)
    if cache:
        cache.keep_shape(tags, shape)
    return shape


def _read(
    found: hub.Listing, quants: Sequence[QuantFiles], cache: Cache | None, *, must: bool
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

    with ExitStack() as stack:
        opened = stack.enter_context(hub.sources(found))
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        read(quants[0])  # alone: the others lean on it
        list(pool.map(read, quants[1:]))
    if problems and must and not shapes:
        raise problems[0]
    return shapes


def _tags(found: hub.Listing, names: Sequence[str]) -> list[str]:
    """What tells each file's bytes from any others: its digest, or its place in the repository's history."""
    digests = {file.name: file.sha256 for file in found.files}
    return [digests.get(name) or f"{found.repo}@{found.commit}/{name}" for name in names]
