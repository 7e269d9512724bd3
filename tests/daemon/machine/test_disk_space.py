"""The events of a disk that runs low on space, and of one that has enough again."""

from dataclasses import replace

from daemon.machine.disk_space import check_disks
from tests.daemon.conftest import Running


async def test_a_disk_that_is_low_is_reported_once_with_the_limit_and_again_once_it_has_space(
    daemon: Running,
) -> None:
    async with daemon() as api:
        for low_bytes in (2**60, 2**60, 0):
            settings = api.app.settings.model_copy(update={"disk_low_bytes": low_bytes})
            await check_disks(replace(api.app, settings=settings))
        events = [
            event
            async for event in api.app.events.read(0, follow=False)
            if event.kind in {"disk_low", "disk_ok"}
        ]
    folders = {str(api.app.settings.state_dir), str(api.app.settings.models_dir)}
    assert [event.kind for event in events] == ["disk_low"] * len(folders) + ["disk_ok"] * len(folders)
    assert {event.message.split(" has ")[0] for event in events} == folders
    assert events[0].message.endswith("less than 1073741824.0 GiB")
    assert events[-1].message.endswith("free again")
