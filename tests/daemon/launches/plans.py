"""Plans of daemons that are turned by hand: always the same one, without a model."""

import asyncio

import pytest

from daemon.launches.start import placement
from tests.daemon.state.test_store import PLAN


def plan_always(monkeypatch: pytest.MonkeyPatch, *, after_s: float = 0) -> None:
    """``after_s`` is of the loop's clock."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")

    async def models(*_: object) -> tuple[()]:
        await asyncio.sleep(0)
        return ()

    async def plan(*_: object) -> object:
        await asyncio.sleep(after_s)
        return PLAN

    monkeypatch.setattr(placement, "resolve_models", models)
    monkeypatch.setattr(placement, "checked_plan", plan)
