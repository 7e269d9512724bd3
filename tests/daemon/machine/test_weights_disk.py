"""A disk with weights that is not mounted: nothing is fetched into the folder below, until it is back."""

from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from daemon.machine import weights_disk
from domain.errors import DownloadError
from tests.daemon.conftest import FakeLauncher, Running, fake_adapters
from tests.rigs.trees import plant

ROOT_LINE = "22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"


async def test_weights_are_not_fetched_into_the_folder_of_a_disk_that_is_not_mounted(
    daemon: Running, settings: Settings, launcher: FakeLauncher, tmp_path: Path
) -> None:
    disk, table = tmp_path / "disk", "proc/self/mountinfo"
    line = f"60 22 254:17 / {disk} rw,relatime - ext4 /dev/vdb1 rw\n"
    root = plant(tmp_path / "root", {table: ROOT_LINE + line})
    of = settings.model_copy(update={"sysroot": root, "models_dir": disk / "models"})
    weights = of.models_dir / "owner--repo"
    weights.mkdir(parents=True)
    async with daemon(fake_adapters(of, launcher), of=of) as api:
        app = api.app
        await weights_disk.check_mounted(app)
        weights.rmdir()
        await weights_disk.check_mounted(app)  # an owner may remove all of them
        (root / table).write_text(ROOT_LINE)
        with pytest.raises(DownloadError, match=f"the disk at {disk}, .* is not mounted"):
            await weights_disk.check_mounted(app)
        for _ in range(2):
            await weights_disk.watch(app)
        problems: list[dict[str, Any]] = (await api.get("/v1/status"))["problems"]
        assert any("is not mounted" in problem["what"] for problem in problems)
        (root / table).write_text(ROOT_LINE + line)
        await weights_disk.watch(app)
        kinds = [event.kind async for event in app.events.read(0, follow=False)]
    assert [kind for kind in kinds if "mounted" in kind] == ["weights_unmounted", "weights_mounted"]


async def test_a_folder_that_was_never_on_a_disk_of_its_own_may_be_empty(daemon: Running) -> None:
    async with daemon() as api:
        await weights_disk.check_mounted(api.app)
        await weights_disk.watch(api.app)
        assert api.app.guards.problems == {}
