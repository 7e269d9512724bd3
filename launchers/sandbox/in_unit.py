"""The main process of an engine's unit: gets command, rules and log from the daemon, then becomes the engine.

They come through a socket. A unit that named files of the daemon's user instead would have root open them.
"""

import marshal
import os
import pwd
import socket
import sys

from launchers.sandbox import shim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USER = "node-daemon"
SHOWN = "/var/lib/node-daemon/models", "/var/lib/node-daemon/engines"  # as the unit says
FOLDER = "/run/node-daemon/engines"
DESCRIPTORS = 3  # of the command, the rules and the log


def main(name: str) -> "NoReturn":
    """Nothing is started where no daemon waits for it."""
    _check_folders()
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect(f"{FOLDER}/{name}")
    _, (command, rules, log), _, _ = socket.recv_fds(daemon, 1, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    argv, environment = marshal.loads(os.read(command, os.fstat(command).st_size))  # noqa: S302 - the daemon's
    for descriptor, number in ((rules, 0), (log, 1), (log, 2), (daemon.detach(), shim.REPORT_FD)):
        os.dup2(descriptor, number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(environment["HOME"])
    sys.argv[1:] = argv
    shim.main()


def _check_folders() -> None:
    """Root has bound them into this namespace. Nothing may run here if the daemon's user made one a link to a
    folder of others: that may lie below a closed one."""
    uid = pwd.getpwnam(USER).pw_uid
    for folder in SHOWN:
        if os.path.lexists(folder) and os.lstat(folder).st_uid != uid:
            sys.exit(f"{folder} does not belong to {USER}")


if __name__ == "__main__":
    main(sys.argv[1])
