"""Sends one message with apprise: in a worker, which has a deadline and limits, and is gone afterwards."""

import logging
import re

from daemon.isolation.workers import Limits, Workers
from daemon.notifications.message import Message
from daemon.notifications.redaction import masked
from domain.errors import NodeError
from domain.text import printable
from domain.units import MIB

SENDING = Limits(deadline_s=45.0, cpu_s=30, at_once=4, memory_bytes=256 * MIB)
REASON_MAX = 300  # characters
QUIET = ("apprise", "requests", "urllib3", "requests_oauthlib", "oauthlib", "asyncio")
_CAUSE = re.compile(
    r"\[Errno -?\d+\] [\w ,-]+|timed out|certificate verify failed[\w :-]*|MemoryError|Connection aborted"
)

log = logging.getLogger(__name__)


async def deliver(workers: Workers, name: str, url: str, message: Message) -> str | None:
    """``None`` once it is sent, else why it is not, without secrets."""
    try:
        reason = await workers.run(
            f"sending to {name}", send, url, message.title, message.body, limits=SENDING
        )
    except NodeError as error:
        reason = masked(error.in_full, url)
    except Exception as error:  # noqa: BLE001 - not told: the text of a worker's has a traceback with anything
        reason = f"it broke: {type(error).__name__}"
    if reason is not None:
        log.info("notification not sent: target=%s %s", name, reason)
    return reason


def send(url: str, title: str, body: str) -> str | None:
    """As ``deliver``. Blocks. For a worker: it silences loggers, which would write the URL."""
    for logger in map(logging.getLogger, QUIET):
        logger.propagate = False
        logger.handlers.clear()
    heard = _Heard()
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    logging.getLogger("apprise").addHandler(heard)
    try:
        is_sent = _notify(url, title, body)
    except Exception as error:  # noqa: BLE001 - of any of its plugins: whatever it is, this message is not sent
        return f"apprise broke on it: {type(error).__name__}"
    return None if is_sent else heard.reason(url)


def _notify(url: str, title: str, body: str) -> bool:
    import apprise  # noqa: PLC0415 - a second of CPU time with its plugins: never in the daemon

    asset = apprise.AppriseAsset(app_id="node-daemon", storage_mode="memory", image_url_mask="")
    sender = apprise.Apprise(asset=asset)
    return bool(sender.add(url)) and bool(
        sender.notify(body=body, title=title, body_format="text", interpret_escapes=False)
    )


class _Heard(logging.Handler):
    """What apprise says: its warnings in words, and the cause out of its exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._said: list[str] = []
        self._causes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()[:16_384]
        if record.levelno >= logging.WARNING:
            self._said.append(text)
        elif "xception" in text:
            self._causes += _CAUSE.findall(text)[-1:]

    def reason(self, url: str) -> str:
        said = [text for text in self._said if "no service" not in text][-2:]
        words = " ".join(" ".join(said).split()) or "apprise does not say why"
        cause = f" ({self._causes[-1].strip()})" if self._causes else ""
        text = printable(masked(f"{words}{cause}", url))
        return text if len(text) <= REASON_MAX else f"{text[:REASON_MAX]}..."
