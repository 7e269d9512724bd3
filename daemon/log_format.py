"""The format of log lines: for a terminal, or for the journal, which adds time and unit itself."""

import logging
import os
import sys
from collections.abc import Mapping

# sd-daemon(3): a line that begins with <N> has that syslog level
SYSLOG_LEVEL = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
ROOMS = ("daemon", "config", "launchers", "catalog", "probes")


class JournalFormatter(logging.Formatter):
    """Without time; the level as a prefix that the journal reads."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{SYSLOG_LEVEL.get(record.levelname, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def goes_to_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether ``descriptor`` is the very stream that JOURNAL_STREAM names as device:inode, systemd.exec(5):
    the variable alone is inherited by children whose output goes elsewhere."""
    stat = os.fstat(descriptor)
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def configure(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Logs to standard error: ours from ``level`` on, libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    if goes_to_journal(sys.stderr.fileno(), environ):
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for room in ROOMS:
        logging.getLogger(room).setLevel(level.upper())
