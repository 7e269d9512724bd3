"""The fork server, the process that workers are forked from: what they need is imported here once.

It has one thread, so that a fork is safe at any time; a fork takes some milliseconds, a new interpreter
half a second. The daemon sends it the socket of each worker. When the daemon's end closes, it ends.
"""

import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import sys

from daemon.isolation.task import serve
from daemon.isolation.wire import Usage

log = logging.getLogger(__name__)


def main() -> None:
    """Arguments: the descriptor of the daemon's socket, the level of the log, modules to import."""
    for module in sys.argv[3:]:
        importlib.import_module(module)
    logging.basicConfig(level=int(sys.argv[2]), format="%(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C of a terminal is the daemon's to handle
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.collect()
    gc.freeze()  # workers share these pages: a collection in one of them must not copy them
    Forker(control).run()


class Forker:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.workers: dict[int, socket.socket] = {}

    def run(self) -> None:
        child_ended, wakeup = socket.socketpair()
        child_ended.setblocking(False)
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self.control, selectors.EVENT_READ)
            selector.register(child_ended, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is child_ended:
                        child_ended.recv(4096)
                        self.reap()
                    elif not self.fork():
                        return

    def fork(self) -> bool:
        """One worker for the socket that the daemon sent; false once the daemon is gone."""
        message, descriptors, _, _ = socket.recv_fds(self.control, 1, 1)
        if not message:
            return False
        connection = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            for other in self.workers.values():
                other.close()
            serve(connection)
        self.workers[pid] = connection
        return True

    def reap(self) -> None:
        """Tells the daemon how workers ended, and what they had used."""
        while self.workers:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            connection = self.workers.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            used = Usage(code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
            connection.setblocking(False)
            try:
                connection.send(used.pack())
            except OSError as error:  # nobody waits for it any more
                log.debug("end of a worker not told: pid=%d %s", pid, error)
            connection.close()


if __name__ == "__main__":
    main()
