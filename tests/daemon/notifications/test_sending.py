"""Messages by the real apprise to servers on loopback, from a worker."""

import asyncio
import logging
import subprocess
import sys
from dataclasses import replace

import pytest

from daemon.isolation.workers import Workers
from daemon.notifications import sending
from daemon.notifications.message import Message
from daemon.notifications.sending import deliver
from tests.daemon.conftest import fork_server
from tests.daemon.notifications.build import PATIENT
from tests.rigs.receivers import Receiver, mail_receiver

MESSAGE = Message("aibox: error: failed", "coder <b>failed</b> & *died*\nNext: node-ctl logs coder")


async def sent(url: str, message: Message = MESSAGE) -> str | None:
    return await deliver(Workers(fork_server()), "phone", url, message)


async def test_a_webhook_gets_the_text(receiver: Receiver) -> None:
    assert await sent(f"json://user:pw@127.0.0.1:{receiver.port}/hook?{PATIENT}") is None
    assert receiver.paths == ["/hook"]
    (body,) = receiver.bodies
    assert (body["title"], body["message"]) == (MESSAGE.title, MESSAGE.body)


async def test_ntfy_gets_the_text_and_no_icon_of_elsewhere(receiver: Receiver) -> None:
    assert await sent(f"ntfy://127.0.0.1:{receiver.port}/topic?{PATIENT}") is None
    (body,) = receiver.bodies
    assert (body["topic"], body["title"], body["message"]) == ("topic", MESSAGE.title, MESSAGE.body)
    assert "x-icon" not in receiver.headers[0]


async def test_a_mail_is_plain_text() -> None:
    with mail_receiver() as mailbox:
        url = f"mailto://127.0.0.1:{mailbox.port}/?mode=insecure&from=box@example.org&to=me@example.org&{PATIENT}"
        assert await sent(url) is None
    assert mailbox.subjects == [MESSAGE.title]
    assert [mail.get_content_type() for mail in mailbox.mails] == ["text/plain"]
    assert mailbox.texts[0].split() == MESSAGE.body.split()


async def test_a_refusal_is_a_reason(receiver: Receiver) -> None:
    receiver.status = 401
    reason = await sent(f"json://user:hunter2@127.0.0.1:{receiver.port}/hook-secret?+X-Token=t0ken&{PATIENT}")
    assert reason is not None
    assert "401" in reason


@pytest.mark.parametrize(
    "url",
    [
        "json://user:hunter2@127.0.0.1:1/hook-secret",
        "ntfy://user:hunter2@127.0.0.1:1/hook-secret",
        "mailto://user:hunter2@127.0.0.1:1/hook-secret?mode=insecure&from=a@example.org&to=b@example.org",
        "mailto://hunter2:hook-secret@localhost",
        "nosuch://hunter2/hook-secret",
        "discord://hunter2",
        "json://hunter2:port/hook-secret",
    ],
)
async def test_what_can_not_be_sent_has_a_reason_without_secrets(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        reason = await sent(url)
    assert reason
    for secret in ("hunter2", "hook-secret"):
        assert secret not in reason + caplog.text


def test_apprise_logs_nothing_of_its_own(receiver: Receiver) -> None:
    url = f"json://user:hunter2@127.0.0.1:{receiver.port}/x?{PATIENT}"
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG)\n"
        f"from daemon.notifications.sending import send; print(send({url!r}, 'a', 'b'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


@pytest.mark.parametrize("trouble", ["hang", "drip", "endless"])
async def test_a_target_that_never_ends_its_answer_is_given_up(
    receiver: Receiver, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its read times out, where the deadline comes, where the memory ends."""
    if trouble == "drip":
        monkeypatch.setattr(sending, "SENDING", replace(sending.SENDING, deadline_s=5.0))
    receiver.trouble = trouble
    assert await sent(f"json://127.0.0.1:{receiver.port}/x") is not None


async def test_the_daemon_starts_without_apprise() -> None:
    code = "import sys, daemon.main; sys.exit('apprise' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
