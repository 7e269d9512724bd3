"""Reports to systemd by sd_notify(3): READY, STATUS, STOPPING, WATCHDOG. Does nothing without a manager."""

import os
import socket
from collections.abc import Mapping


class SystemdNotifier:
    """Sends datagrams to the manager that NOTIFY_SOCKET names, if any."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]  # an abstract socket
        self.watchdog_s = _watchdog_s(environ)

    def __call__(self, *lines: str) -> None:
        """Sends ``lines`` in one message. Errors are ignored: the manager may be gone."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    period_us = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", str(os.getpid()))
    if not period_us.isdigit() or int(period_us) == 0 or meant_for != str(os.getpid()):
        return None
    return int(period_us) / 1e6
