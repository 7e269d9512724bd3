"""What notifications need of a daemon, and a server that takes them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC

import pytest

from config.settings import Settings
from daemon.app import Adapters, App, build_app
from daemon.notifications import service
from daemon.state.store import Store
from tests.daemon.notifications.build import Opened, look
from tests.rigs.receivers import Receiver, http_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as server:
        yield server


@pytest.fixture
def opened(settings: Settings, adapters: Adapters) -> Opened:
    """What notifications need of a daemon, without its jobs: a look is made when a test makes one."""

    @asynccontextmanager
    async def run() -> AsyncIterator[App]:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
        app = await asyncio.to_thread(build_app, settings, store, adapters)
        app = replace(app, zone=UTC)
        try:
            await look(app)
            yield app
            await service.stop_all(app)
        finally:
            await asyncio.to_thread(store.close)

    return run
