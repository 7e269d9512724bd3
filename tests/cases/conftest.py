"""The hub that these repositories are published on, and the engine that serves what is launched."""

from pathlib import Path

import pytest

from tests.catalog.conftest import hub
from tests.launchers.conftest import engine, port
from tests.rigs.hub import Hub
from tests.rigs.publisher import Publisher

__all__ = ["engine", "hub", "port"]


@pytest.fixture
def publisher(hub: Hub, tmp_path: Path) -> Publisher:
    return Publisher(hub, tmp_path)
