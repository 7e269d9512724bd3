"""What these tests share: a hub on the loopback, in the place of the real one."""

from collections.abc import Iterator

import pytest

from catalog.download import download, file_transfer
from catalog.hub import retry
from tests.rigs.hub import Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        yield running


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that nobody answers for: a port of the loopback where nothing listens."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and waits of a hundredth of their length."""
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(file_transfer, "POLL_S", 0.01)
    monkeypatch.setattr(download, "REPORT_EVERY_S", 0.01)
