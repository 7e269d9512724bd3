"""The hub that these repositories are published on."""

from tests.catalog.conftest import hub

__all__ = ["hub"]
