"""Notifications of a daemon: sent once, in few messages, kept while nobody takes them, over restarts."""

from datetime import timedelta

import pytest

from config.settings import Settings
from daemon.notifications import service
from daemon.notifications.policy import BURST
from domain.errors import StateError
from domain.events import EventKind
from tests.daemon.notifications.build import NOON, TOKEN, Opened, configure, hook, kinds, look
from tests.rigs.receivers import Receiver, http_receiver


async def test_an_event_is_sent_once(opened: Opened, settings: Settings, receiver: Receiver) -> None:
    configure(settings, hook(receiver))
    async with opened() as app:
        await app.events.append(EventKind.PROVEN, "not for a phone")
        await app.events.append(EventKind.FAILED, "coder failed", launch="coder")
        await look(app)
        await look(app)
    (body,) = receiver.bodies
    assert body["title"].endswith(": error: failed")
    assert "coder failed" in body["message"]
    assert receiver.paths == [f"/phone/{TOKEN}"]


async def test_a_storm_is_one_message(opened: Opened, settings: Settings, receiver: Receiver) -> None:
    configure(settings, hook(receiver))
    async with opened() as app:
        for number in range(250):
            await app.events.append(EventKind.DIED, f"death {number}")
        await look(app)
        for number in range(BURST + 1):
            await app.events.append(EventKind.DIED, f"later {number}")
            await look(app)
        await look(app, timedelta(minutes=6))
    assert receiver.titles[0].endswith(": 250 events, 250 warnings")
    assert len(receiver.bodies) == BURST + 1
    assert receiver.titles[-1].endswith(": 2 events, 2 warnings")


async def test_a_restart_neither_repeats_nor_loses(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    configure(settings, hook(receiver))
    async with opened() as app:
        await app.events.append(EventKind.FAILED, "the first", launch="coder")
        await look(app)
        await app.events.append(EventKind.DIED, "the second")
    async with opened() as app:
        await app.events.append(EventKind.READY, "the third", launch="coder")
        await look(app)
    async with opened():
        pass
    assert [title.partition(": ")[2] for title in receiver.titles] == [
        "error: failed",
        "warning: died",
        "well again: ready",
    ]


async def test_a_new_target_is_not_told_of_what_was(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    async with opened() as app:
        await app.events.append(EventKind.FAILED, "before")
        configure(settings, hook(receiver))
        await look(app)
        await app.events.append(EventKind.FAILED, "after")
        await look(app)
        configure(settings, "")
    async with opened() as app:
        await app.events.append(EventKind.FAILED, "while there was none")
        await look(app)
        configure(settings, hook(receiver))
        await look(app)
    assert len(receiver.bodies) == 1
    assert "after" in receiver.bodies[0]["message"]


async def test_what_could_not_be_sent_is_sent_later_and_told_in_between(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    configure(settings, hook(receiver) + hook(receiver, "other", 'level = "info"'))
    async with opened() as app:
        receiver.status = 503
        await app.events.append(EventKind.DIED, "the first")
        await look(app)
        await look(app, timedelta(minutes=20))
        await app.events.append(EventKind.DIED, "the second")
        await look(app, timedelta(minutes=20, seconds=1))
        assert (await kinds(app)).count(EventKind.NOTIFY_FAILED) == 2
        problem = app.guards.problems["notifications phone"]
        assert "503" in problem.what
        assert TOKEN not in problem.what + problem.hint
        receiver.status, receiver.bodies[:] = 200, []
        await look(app, timedelta(hours=2))
        assert "notifications phone" not in app.guards.problems
        assert (await kinds(app)).count(EventKind.NOTIFY_BACK) == 2
        await look(app, timedelta(hours=3))
    assert [title.partition(": ")[2] for title in receiver.titles] == ["2 events, 2 warnings"] * 2


async def test_one_target_that_hangs_holds_up_no_other(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    with http_receiver() as hanging:
        hanging.trouble = "hang"
        configure(settings, hook(hanging, "hangs") + hook(receiver))
        async with opened() as app:
            await app.events.append(EventKind.FAILED, "it failed")
            await service.look(app, NOON)
            sending = app.notifications.targets["phone"].task
            assert sending is not None
            await sending
            assert len(receiver.bodies) == 1
            await service.look(app, NOON)


async def test_in_quiet_hours_events_wait_and_a_restart_keeps_them(
    opened: Opened, settings: Settings, receiver: Receiver
) -> None:
    configure(settings, hook(receiver, more='quiet = "0:00-23:59"'))
    async with opened() as app:
        await app.events.append(EventKind.FAILED, "by night")
        await service.look(app, NOON)
        assert app.notifications.targets["phone"].pending.total == 1
        assert app.notifications.targets["phone"].task is None
    configure(settings, hook(receiver))
    async with opened():
        pass
    assert len(receiver.bodies) == 1


async def test_a_digest_comes_at_its_hour(opened: Opened, settings: Settings, receiver: Receiver) -> None:
    configure(settings, hook(receiver, more='digest = "8:00"'))
    async with opened() as app:
        await app.events.append(EventKind.DIED, "coder died", launch="coder")
        await look(app)
        assert receiver.bodies == []
        await look(app, timedelta(days=1))
        await look(app, timedelta(days=1, seconds=30))
        await look(app, timedelta(days=2))
    first, second = receiver.bodies
    assert first["message"].startswith("1 warning: died 1\n")
    assert second["message"].startswith("nothing went wrong, 0 events\n")


async def test_an_event_that_the_disk_has_no_room_for_is_sent(
    opened: Opened, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(settings, hook(receiver))
    async with opened() as app:

        def full(*_: object) -> None:
            raise StateError("no room")

        monkeypatch.setattr(app.store.events, "append", full)
        await app.events.append(EventKind.DISK_LOW, "the disk is full")
        await look(app)
        await look(app)
    assert len(receiver.bodies) == 1
    assert "the disk is full" in receiver.bodies[0]["message"]
