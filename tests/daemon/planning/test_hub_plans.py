"""Plans of models on a hub: from as few headers as the choice needs, and without the hub from those seen."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from config.data import catalogue, profile
from config.settings import Settings
from daemon.app import Adapters
from daemon.main import running
from daemon.planning.estimate import estimate
from daemon.planning.plan import plan
from daemon.systemd_notify import SystemdNotifier
from daemon.weights.hub_search import search
from domain.errors import DoesNotFitError, DownloadError
from domain.launches.plan import LaunchOptions
from tests.daemon.conftest import FakeLauncher, fake_adapters
from tests.rigs import published
from tests.rigs.hub import Hollow, Hub

REPO = "owner/Qwen3-30B-A3B-GGUF"
QUANTS = ("Q4_0", "Q5_K_M", "Q8_0")
LARGE = profile("strix-halo-128gb")
SMALL = profile("n100-8gb")


@pytest.fixture(scope="module")
def quants() -> dict[str, Hollow]:
    return published.quants(catalogue()["qwen3-30b-a3b"], QUANTS)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, quants: dict[str, Hollow]) -> Iterator[Hub]:
    with Hub() as running_hub:
        monkeypatch.setenv("HF_ENDPOINT", running_hub.url)
        running_hub.add(REPO, quants)
        yield running_hub


@dataclass(frozen=True)
class Daemons:
    """Of one state: with the hub, and without. Each is started by ``running``."""

    online: tuple[Settings, SystemdNotifier, Adapters]
    offline: tuple[Settings, SystemdNotifier, Adapters]


@pytest.fixture
def daemons(settings: Settings, launcher: FakeLauncher) -> Daemons:
    settings.state_dir.mkdir(parents=True)
    online = settings.model_copy(update={"offline": False})
    return Daemons(
        (online, SystemdNotifier({}), fake_adapters(online, launcher)),
        (settings, SystemdNotifier({}), fake_adapters(settings, launcher)),
    )


def files_read(hub: Hub) -> set[str]:
    return {item.path.rpartition("/")[2] for item in hub.gets("/resolve/")}


async def test_without_a_hub_a_plan_is_that_of_what_was_seen_and_says_so(hub: Hub, daemons: Daemons) -> None:
    async with running(*daemons.online) as app:
        seen = await plan(app, REPO, LaunchOptions(), on=LARGE)
    hub.requests.clear()
    async with running(*daemons.offline) as app:
        again = await plan(app, REPO, LaunchOptions(), on=LARGE)
        told = await estimate(app, REPO, [], on=LARGE)
        with pytest.raises(DownloadError, match="offline"):
            await plan(app, "owner/other", LaunchOptions(), on=LARGE)
    assert hub.requests == []
    assert not any("from its listing of" in reason for reason in seen.reasons)
    assert any(f"{REPO} is planned from its listing of 20" in reason for reason in again.reasons)
    assert replace(again, reasons=seen.reasons) == seen
    assert any("from its listing of 20" in note for note in told.notes)


async def test_a_small_box_is_told_from_the_smallest_header(hub: Hub, daemons: Daemons) -> None:
    async with running(*daemons.online) as app:
        with pytest.raises(DoesNotFitError, match="GiB"):
            await plan(app, REPO, LaunchOptions(), on=SMALL)
        assert files_read(hub) == {"qwen3-30b-a3b-Q4_0.gguf"}
        with pytest.raises(DoesNotFitError, match="GiB"):  # named, it is read, for its own numbers
            await plan(app, REPO, LaunchOptions(quality="Q8_0"), on=SMALL)
        assert "qwen3-30b-a3b-Q8_0.gguf" in files_read(hub)


async def test_an_estimate_of_a_quant_reads_one_header(hub: Hub, daemons: Daemons) -> None:
    async with running(*daemons.online) as app:
        found = await estimate(app, f"{REPO}:Q4_0", ["-c", "4096"], on=LARGE)
        assert files_read(hub) == {"qwen3-30b-a3b-Q4_0.gguf"}
        chosen = await plan(app, REPO, LaunchOptions(), on=LARGE)
        without = await estimate(app, REPO, ["-c", "4096"], on=LARGE)
    assert found.notes[-1].startswith(f"estimate of {REPO} Q4_0")
    assert without.notes[-1].startswith(f"estimate of {REPO} {chosen.weights.quant}")


async def test_a_search_asks_the_hub_and_offline_says_so(hub: Hub, daemons: Daemons) -> None:
    async with running(*daemons.online) as app:
        (found,) = await search(app, "qwen3 gguf", limit=5, formats=())
    assert (found.repo, found.formats) == (REPO, ("gguf",))
    hub.requests.clear()
    async with running(*daemons.offline) as app:
        with pytest.raises(DownloadError, match="offline is set"):
            await search(app, "qwen3 gguf", limit=5, formats=())
    assert hub.requests == []
