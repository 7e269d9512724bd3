"""What tests of pulls share: a hub with one small model, and a daemon that fetches from it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from tests.catalog.build import gguf_file
from tests.daemon.conftest import Api, Running
from tests.daemon.weights.pulling import TENSORS
from tests.rigs.hub import Hub


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"offline": False})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        model = gguf_file(tmp_path / "toy-Q8_0.gguf", tensors=TENSORS, quant=7)  # 4 MB
        running.add("o/toy-GGUF", {"toy-Q8_0.gguf": model.read_bytes()})
        yield running


@pytest.fixture
async def api(daemon: Running, hub: Hub) -> AsyncIterator[Api]:
    async with daemon() as running:
        yield running
