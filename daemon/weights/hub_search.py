"""Searches the hub."""

import asyncio
from collections.abc import Sequence
from functools import partial

from catalog.hub import search as catalog_search
from daemon.app import App
from domain.errors import DownloadError
from domain.models.search_result import SearchResult


async def search(app: App, words: str, *, limit: int, formats: Sequence[str]) -> tuple[SearchResult, ...]:
    """Raises: DownloadError, also where offline is set; UsageError."""
    if app.settings.offline:
        raise DownloadError(
            "a search asks the hub, and offline is set",
            hint="set offline to false; node-ctl models lists what is on this disk",
        )
    ask = partial(
        catalog_search.search,
        words,
        catalogue=app.catalogue,
        limit=limit,
        formats=formats or catalog_search.FORMATS,
    )
    return await asyncio.get_running_loop().run_in_executor(app.hub_threads, ask)
