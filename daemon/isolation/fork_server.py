"""The daemon's handle on its fork server: started with the first worker, and again if it has died."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

log = logging.getLogger(__name__)


class ForkServer:
    """Belongs to no event loop: its calls take milliseconds, but they block. ``preload`` names the modules
    that workers use."""

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._preload = tuple(preload)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """If it does not run: the first worker need not wait for its imports then."""
        with self._lock:
            self._running()

    def fork(self) -> socket.socket:
        """The socket of a new worker. Raises: OSError if no process can be started."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._running(), [b"w"], [theirs.fileno()])
            except OSError as error:
                log.warning("fork server is gone and is started again: %s", error)
                self._end()
                try:
                    socket.send_fds(self._running(), [b"w"], [theirs.fileno()])
                except OSError:
                    ours.close()
                    raise
        return ours

    def close(self) -> None:
        """Workers that still run end with whoever waits for them."""
        with self._lock:
            self._end()

    def _running(self) -> socket.socket:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        level = logging.getLogger().getEffectiveLevel()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "daemon.isolation.main",
                    str(theirs.fileno()),
                    str(level),
                    *self._preload,
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a Ctrl-C at the daemon's terminal is not for it
            )
        self._control = ours
        return ours

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None
