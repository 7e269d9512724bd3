"""Daemons that are turned by hand, as the tests of launches have them."""

from tests.daemon.launches.conftest import start, world

__all__ = ["start", "world"]
