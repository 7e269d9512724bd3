"""The hub that these repositories are published on, and the engine that serves what is launched."""

from tests.catalog.conftest import hub
from tests.launchers.conftest import engine, port

__all__ = ["engine", "hub", "port"]
