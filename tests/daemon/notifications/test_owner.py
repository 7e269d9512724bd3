"""What an owner does: a file that can't be used is told, a test says what arrives, no secret is shown."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.notifications import service
from domain.errors import ConfigError, UsageError
from domain.events import EventKind
from tests.daemon.conftest import Running
from tests.daemon.notifications.build import TOKEN, Opened, configure, hook, kinds, look
from tests.rigs.receivers import Receiver


async def test_a_file_that_others_can_read_is_told_and_not_used(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    configure(settings, hook(receiver), 0o644)
    async with opened() as app:
        assert app.notifications.targets == {}
        problem = app.guards.problems["notifications"]
        assert problem.hint == f"chmod 600 {settings.notify_file}"
        for ask in (service.rows(app), service.send_tests(app, None)):
            await _refused(ask)
        assert await kinds(app) == [EventKind.SETTINGS_REJECTED]
        settings.notify_file.chmod(0o600)
        await look(app)
        assert list(app.notifications.targets) == ["phone"]
        assert "notifications" not in app.guards.problems


async def _refused(ask: Awaitable[object]) -> None:
    with pytest.raises(ConfigError, match="mode 0644"):
        await ask


async def test_while_a_changed_file_is_wrong_the_targets_of_before_stay(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    configure(settings, hook(receiver))
    async with opened() as app:
        configure(settings, "[phone\n")
        await app.events.append(EventKind.FAILED, "it failed")
        await look(app)
    assert receiver.titles[0].endswith("2 events, 1 error, 1 warning")


async def test_a_test_says_of_each_target_what_came_of_it(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    configure(settings, hook(receiver) + f'[gone]\nurl = "json://127.0.0.1:1/{TOKEN}"\n')
    async with opened() as app:
        phone, gone = await service.send_tests(app, None)
        assert (phone.name, phone.sent, phone.reason) == ("phone", True, None)
        assert (gone.name, gone.sent) == ("gone", False)
        assert "Connection refused" in str(gone.reason)
        assert TOKEN not in repr((phone, gone))
        (only,) = await service.send_tests(app, "phone")
        assert only.sent
        with pytest.raises(UsageError, match="no target is called 'mail'"):
            await service.send_tests(app, "mail")
    assert [title.partition(": ")[2] for title in receiver.titles] == ["test of notifications"] * 2


async def test_without_targets_a_test_says_where_they_belong(opened: Opened, settings: Settings) -> None:
    async with opened() as app:
        with pytest.raises(UsageError, match=r"notify\.toml has none"):
            await service.send_tests(app, None)


async def test_a_damaged_row_is_told_and_its_target_begins_anew(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    configure(settings, hook(receiver))
    async with opened():
        pass
    _spoil(settings.state_dir / "state.db")
    async with opened() as app:
        assert EventKind.UNREADABLE in await kinds(app)
        await app.events.append(EventKind.FAILED, "it failed")
        await look(app)
    assert "it failed" in receiver.bodies[-1]["message"]


def _spoil(path: Path) -> None:
    db = sqlite3.connect(path)
    with db:
        db.execute("UPDATE notifications SET told = '[1]'")
    db.close()


async def test_a_daemon_sends_by_itself_and_shows_no_secret(
    daemon: Running, settings: Settings, receiver: Receiver
) -> None:
    configure(settings, hook(receiver))
    async with daemon() as api:
        listed = await api.http.get("/v1/notifications")
        (row,) = listed.json()["targets"]
        assert (row["name"], row["url"]) == ("phone", f"json://127.0.0.1:{receiver.port}/***")
        tested = await api.post("/v1/notifications/test", target="phone")
        assert tested.json()[0]["sent"]
        shown = [listed.text, tested.text]
        for path in ("/v1/settings", "/v1/status", "/v1/doctor/report", "/v1/events"):
            answer = await api.http.get(path)
            shown.append(answer.text)
        assert TOKEN not in "".join(shown)
        await api.app.events.append(EventKind.FAILED, "it failed")
        async with asyncio.timeout(120):
            while not any("it failed" in body["message"] for body in receiver.bodies):  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.05)
